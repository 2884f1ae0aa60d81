import type { Cache, CacheStats } from '@lockstep/cache'
import { LatencyRecorder, type MetricsRegistry, type TimeSource } from '@lockstep/runtime'
import type { BusFence, Stamp } from '@lockstep/schemas'
import { createApiMetrics } from './metrics.ts'

/** What `/statusz` says of this process. */
export interface ApiStatus {
  readonly generation: number | null
  /** Age of what the cache has applied; null while nothing vouches for it. */
  readonly freshnessAgeMs: number | null
  /** Newest snapshot this process has learned of. */
  readonly newestStamp: Stamp | null
  readonly cache: CacheStats
  /** From the commit, by the clock of Postgres, to the eviction here; counts as of `LatencyRecorder.counts`. */
  readonly commitToL1: {
    readonly counts: Record<string, number>
    readonly max: number
    readonly p50: number
    readonly p99: number
  }
}

/** Reports on one process. */
export interface Observer {
  status(): ApiStatus
  /** The registry, with the cache's counters brought up to date whenever it is read. */
  readonly metrics: MetricsRegistry
}

/** Measures, per invalidated tag, the time from the commit to its eviction here. */
export function observeCache(cache: Cache, registry: MetricsRegistry, time: TimeSource): Observer {
  const commitToL1 = new LatencyRecorder()
  const metrics = createApiMetrics(registry)
  cache.onInvalidated((fences: readonly BusFence[]) => {
    const nowMs = time.wallMs()
    for (const [, , commitTimeMs] of fences) {
      // Flushes carry no commit time.
      if (commitTimeMs <= 0) continue
      // Two machines' clocks: a small negative difference is skew, not a latency.
      const elapsedMs = Math.max(0, nowMs - commitTimeMs)
      commitToL1.record(elapsedMs)
      metrics.commitToEvict.observe(elapsedMs / 1000, { layer: 'l1' })
    }
  })
  return {
    status() {
      const { p50, p99, max } = commitToL1.summary()
      return {
        generation: cache.generation(),
        freshnessAgeMs: cache.freshnessAgeMs(),
        newestStamp: cache.newestStamp(),
        cache: cache.stats(),
        commitToL1: { counts: commitToL1.counts(), max, p50, p99 },
      }
    },
    metrics: {
      ...registry,
      text() {
        metrics.update(cache.stats(), cache.freshnessAgeMs())
        return registry.text()
      },
    },
  }
}
