import { prometheusText, type Cache, type CacheStats } from '@lockstep/cache'
import { LatencyRecorder, type Histogram, type MetricsRegistry, type TimeSource } from '@lockstep/runtime'
import type { BusFence, Stamp } from '@lockstep/schemas'
import { createApiMetrics } from './metrics.ts'
import type { PoolUse } from './ports.ts'

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
  /** Takes every answered request. */
  readonly requests: Histogram
  /** The registry with what the cache counts, brought up to date whenever it is read. */
  readonly metrics: MetricsRegistry
}

/** What is observed of one process. */
export interface Observed {
  readonly cache: Cache
  readonly pool: () => PoolUse
  readonly registry: MetricsRegistry
  readonly time: TimeSource
}

/** Measures, per invalidated tag, the time from the commit to its eviction here, and gathers what others count. */
export function observeProcess({ cache, pool, registry, time }: Observed): Observer {
  const commitToL1 = new LatencyRecorder()
  const metrics = createApiMetrics(registry)
  const evicted = metrics.commitToEvict.with({ layer: 'l1' })
  cache.onInvalidated((fences: readonly BusFence[]) => {
    const nowMs = time.wallMs()
    for (const [, , commitTimeMs] of fences) {
      // Flushes carry no commit time.
      if (commitTimeMs <= 0) continue
      // Two machines' clocks: a small negative difference is skew, not a latency.
      const elapsedMs = Math.max(0, nowMs - commitTimeMs)
      commitToL1.record(elapsedMs)
      evicted(elapsedMs / 1000)
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
    requests: metrics.requests,
    metrics: {
      ...registry,
      async text() {
        metrics.update(cache.stats(), pool())
        return (await registry.text()) + prometheusText(cache)
      },
    },
  }
}
