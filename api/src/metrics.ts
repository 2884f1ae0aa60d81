import type { CacheStats } from '@lockstep/cache'
import { evictionHistogram, type Counter, type Histogram, type MetricsRegistry } from '@lockstep/runtime'
import type { PoolUse } from './ports.ts'
import type { Choice } from './replicas/replica-source.ts'

/** Counts where loads read: at a standby, or at the primary and why. */
export function createReplicaMetrics(registry: MetricsRegistry): (choice: Choice) => void {
  const loads = registry.counter(
    'lockstep_api_replica_loads_total',
    'Loads where standbys are set: `replica` = read there; else at the primary, and why.',
    ['outcome'],
  )
  return (outcome) => loads.inc({ outcome })
}

/** Every instrument of the API. What the cache counts itself is written by `prometheusText` of the library. */
export interface ApiMetrics {
  readonly commitToEvict: Histogram
  /** Requests by route pattern, never by path, and class of the status. */
  readonly requests: Histogram
  /** Brings the instruments up to what cache and pool have counted; called before they are read. */
  update(stats: CacheStats, pool: PoolUse): void
}

// A free connection takes no time, a new one some milliseconds; the longest wait is a second unless configured.
const POOL_WAIT_SECONDS = [0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

/** Declares how long statements wait for a connection; `waited` takes seconds. */
export function createPoolMetrics(registry: MetricsRegistry): { waited(seconds: number): void } {
  const histogram = registry.histogram(
    'lockstep_database_pool_wait_seconds',
    'How long a statement or transaction waited for its connection, its turn included.',
    POOL_WAIT_SECONDS,
  )
  return { waited: histogram.with({}) }
}

// An answer from L1 takes a fraction of a millisecond, one from the database some, a refused one up to a second.
const REQUEST_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Declares the instruments. */
export function createApiMetrics(registry: MetricsRegistry): ApiMetrics {
  const rejected = registry.counter(
    'lockstep_fill_rejected_total',
    'Loaded values that a fence, a lost lease or an eviction kept out of Redis.',
  )
  const connections = registry.gauge('lockstep_database_pool_connections', 'Connections of this process by state.', [
    'state',
  ])
  const waiting = registry.gauge('lockstep_database_pool_waiting_requests', 'Statements that wait for a connection.')
  const limit = registry.gauge('lockstep_database_pool_limit_connections', 'The most connections this process opens.')
  const refused = registry.counter(
    'lockstep_database_pool_refused_total',
    'Statements that are no loads and were refused because their turn would not have come in time.',
  )
  let counted = 0
  let countedRefused = 0
  return {
    commitToEvict: evictionHistogram(registry),
    requests: registry.histogram(
      'lockstep_http_request_duration_seconds',
      'From the arrival of a request until its answer is handed to the socket.',
      REQUEST_SECONDS,
      ['route', 'status_class'],
    ),
    update(stats, pool) {
      rejected.inc({}, stats.rejected - counted)
      counted = stats.rejected
      connections.set(pool.total - pool.idle, { state: 'busy' })
      connections.set(pool.idle, { state: 'idle' })
      waiting.set(pool.waiting)
      limit.set(pool.limit)
      refused.inc({}, pool.refused - countedRefused)
      countedRefused = pool.refused
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
