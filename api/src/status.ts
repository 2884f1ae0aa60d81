import type { Cache } from '@lockstep/cache'
import { evictionHistogram, LatencyRecorder, type MetricsRegistry, type TimeSource } from '@lockstep/runtime'
import type { BusFence } from '@lockstep/schemas'

/** What `/statusz` says of this process. */
export interface ApiStatus {
  readonly generation: number | null
  readonly freshnessAgeMs: number | null
  readonly cache: ReturnType<Cache['stats']>
  readonly commitToL1: { readonly counts: Record<string, number>; readonly max: number; readonly p50: number; readonly p99: number }
}

/** Measures, per invalidated tag, the time from the commit to its eviction here. Returns the status reporter. */
export function observeCache(cache: Cache, metrics: MetricsRegistry, time: TimeSource): () => ApiStatus {
  const commitToL1 = new LatencyRecorder()
  const seconds = evictionHistogram(metrics)
  const requests = metrics.gauge('lockstep_cache_requests', 'Reads through the cache since start, by outcome', ['layer', 'outcome'])
  cache.onInvalidated((fences: readonly BusFence[]) => {
    const nowMs = time.wallMs()
    for (const [, , commitTimeMs] of fences) {
      // Flushes and replays of a class carry no commit time.
      if (commitTimeMs <= 0) continue
      // Two machines' clocks may disagree; an age is never negative.
      const elapsedMs = Math.max(0, nowMs - commitTimeMs)
      commitToL1.record(elapsedMs)
      seconds.observe(elapsedMs / 1000, { layer: 'l1' })
    }
  })
  return () => {
    const stats = cache.stats()
    requests.set(stats.l1Hit, { layer: 'l1', outcome: 'hit' })
    requests.set(stats.l2Hit, { layer: 'redis', outcome: 'hit' })
    requests.set(stats.bypass, { layer: 'redis', outcome: 'bypass' })
    requests.set(stats.loads, { layer: 'database', outcome: 'load' })
    const { p50, p99, max } = commitToL1.summary()
    return {
      generation: cache.generation(),
      freshnessAgeMs: cache.freshnessAgeMs(),
      cache: stats,
      commitToL1: { counts: commitToL1.counts(), max, p50, p99 },
    }
  }
}
