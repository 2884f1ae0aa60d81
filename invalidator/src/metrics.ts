import { evictionHistogram, LatencyRecorder } from '@lockstep/runtime'
import type { MetricsRegistry } from '@lockstep/runtime'
import type { DeadLetter, Flush, Watermark } from '@lockstep/schemas'
import type { Item } from './derive.ts'
import { lastWatermark } from './plan.ts'

const US_PER_MS = 1_000

/** Every instrument of the invalidator, and what `status()` tells of them. */
export interface InvalidatorMetrics {
  /** Commit (Postgres' clock) to fence and bus entry in Redis (our clock), per change. */
  readonly commitToRedis: LatencyRecorder
  /** Newest watermark that Redis holds, by partition. */
  readonly watermarks: ReadonlyMap<number, Watermark>
  applied(items: readonly Item[], partition: number): void
  refused(why: string): void
  gap(reason: string): void
  opened(flush: Flush): void
  deadLetter(letter: DeadLetter): void
  failed(kind: 'apply' | 'echo'): void
  /** Notes how old the newest applied watermark is, in ms of Redis' clock. */
  watermarkAge(ageMs: number): void
}

/** Declares the instruments in `registry`. `wallUs`: wall clock, µs since the Unix epoch. */
export function createInvalidatorMetrics(registry: MetricsRegistry, wallUs: () => bigint): InvalidatorMetrics {
  const commitToRedis = new LatencyRecorder()
  const watermarks = new Map<number, Watermark>()
  const instruments = declareInstruments(registry)
  return {
    commitToRedis,
    watermarks,
    applied(items, partition) {
      const now = wallUs()
      let evictions = 0
      for (const item of items) {
        if (item.kind !== 'change') continue
        evictions += item.effects.length
        // Two machines' clocks: a small negative difference is skew, not a latency.
        const ms = Math.max(0, Number(now - item.commitTimeUs) / US_PER_MS)
        commitToRedis.record(ms)
        instruments.commitToEvict.observe(ms / 1000, { layer: 'redis' })
      }
      if (evictions > 0) instruments.evictions.inc({ layer: 'redis' }, evictions)
      const watermark = lastWatermark(items)
      if (watermark !== undefined) watermarks.set(partition, watermark)
    },
    refused: (why) => instruments.refused.inc({ kind: why }),
    gap: () => instruments.gaps.inc(),
    opened: ({ reason }) => instruments.flushes.inc({ layer: 'redis', reason }),
    deadLetter: ({ code }) => instruments.deadLetters.inc({ error_code: code }),
    failed: (kind) => instruments.errors.inc({ kind }),
    watermarkAge: (ageMs) => instruments.lag.set(ageMs / 1000, { stage: 'invalidator' }),
  }
}

function declareInstruments(registry: MetricsRegistry) {
  return {
    commitToEvict: evictionHistogram(registry),
    lag: registry.gauge('lockstep_stage_lag_seconds', 'Age of everything that a stage has finished, by Redis time.', [
      'stage',
    ]),
    evictions: registry.counter('lockstep_evictions_total', 'Tags whose fence was raised, before coalescing.', [
      'layer',
    ]),
    flushes: registry.counter('lockstep_flush_total', 'Generations begun in a layer.', ['layer', 'reason']),
    deadLetters: registry.counter('lockstep_dlq_records_total', 'Records sent to dead-letters.', ['error_code']),
    gaps: registry.counter('lockstep_offset_gap_total', 'Holes in the log: lost or unreadable records.'),
    refused: registry.counter('lockstep_steps_refused_total', 'Steps that Redis refused to take.', ['kind']),
    errors: registry.counter('lockstep_apply_errors_total', 'Failed attempts to apply, repeated later.', ['kind']),
  }
}
