import type { CacheStats } from '@lockstep/cache'
import { evictionHistogram, type Counter, type Histogram, type MetricsRegistry } from '@lockstep/runtime'

/** Every instrument of the API. */
export interface ApiMetrics {
  readonly commitToEvict: Histogram
  /** Brings the instruments up to what the cache has counted; called before they are read. */
  update(stats: CacheStats, freshnessAgeMs: number | null): void
}

/** How the cache's counters appear as requests by layer and outcome. */
const REQUESTS = [
  ['l1Hit', 'l1', 'hit'],
  ['l2Hit', 'redis', 'hit'],
  ['coalesced', 'l1', 'coalesced'],
  ['bypass', 'redis', 'bypass'],
  ['stale', 'l1', 'stale'],
  ['loads', 'database', 'load'],
  ['loadFailed', 'database', 'failed'],
  ['overloaded', 'database', 'refused'],
] as const satisfies readonly (readonly [keyof CacheStats, string, string])[]

/** Declares the instruments. */
export function createApiMetrics(registry: MetricsRegistry): ApiMetrics {
  const requests = registry.counter('lockstep_cache_requests_total', 'Reads through the cache, by layer and outcome.', [
    'layer',
    'outcome',
  ])
  const rejected = registry.counter(
    'lockstep_fill_rejected_total',
    'Loaded values that a fence, a lost lease or an eviction kept out of Redis.',
  )
  const redisErrors = registry.counter('lockstep_cache_redis_errors_total', 'Redis commands of the cache that failed.')
  const freshness = registry.gauge(
    'lockstep_cache_freshness_age_seconds',
    'Age of what the cache has applied; NaN while nothing vouches for it.',
  )
  const bytes = registry.gauge('lockstep_cache_l1_bytes', 'Size of the in-process cache.')
  const counted = new Map<string, number>()
  const growth = (name: keyof CacheStats, stats: CacheStats): number => {
    const now = Number(stats[name])
    const grown = now - (counted.get(name) ?? 0)
    counted.set(name, now)
    return grown
  }
  return {
    commitToEvict: evictionHistogram(registry),
    update(stats, freshnessAgeMs) {
      for (const [name, layer, outcome] of REQUESTS) requests.inc({ layer, outcome }, growth(name, stats))
      rejected.inc({}, growth('rejected', stats))
      redisErrors.inc({}, growth('redisErrors', stats))
      freshness.set(freshnessAgeMs === null ? Number.NaN : freshnessAgeMs / 1000)
      bytes.set(stats.l1Bytes)
    },
  }
}

/** Instruments of what keeps the API standing under load. */
export interface ProtectionMetrics {
  /** By policy and by why: too many, or nobody could count. */
  readonly refused: Counter
}

/** Declares them. */
export function createProtectionMetrics(registry: MetricsRegistry): ProtectionMetrics {
  return {
    refused: registry.counter(
      'lockstep_api_limited_total',
      'Requests refused by a rate limit (reason limited), or because nobody could count them (unavailable).',
      ['policy', 'reason'],
    ),
  }
}
