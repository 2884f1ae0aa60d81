import { evictionHistogram, LatencyRecorder } from '@lockstep/runtime'
import type { MetricsRegistry, TimeSource } from '@lockstep/runtime'
import type { PurgeReply } from './ports.ts'
import type { Purge } from './purge.ts'

/** One answered request. */
export interface Answer {
  readonly reply: PurgeReply
  readonly keys: number
  readonly phase: 'live' | 'rebound'
}

/** The instruments that tell of one provider. */
export interface ProviderMetrics {
  answered(provider: string, answer: Answer): void
  /** Null: nobody can tell. */
  forecast(provider: string, drainMs: number | null): void
  escalated(provider: string, level: 'class' | 'all'): void
  denied(provider: string): void
  /** The shared token buckets could not be asked. */
  budgetAway(provider: string): void
}

/** Every instrument of the room. */
export interface PurgerMetrics extends ProviderMetrics {
  /** Commit to the acknowledgement of the live purge by the last tier, ms. */
  readonly commitToEdge: LatencyRecorder
  /** Notes a live purge that all tiers have. */
  purged(purge: Purge): void
  barrierTimedOut(count: number): void
  deadLettered(code: string): void
  backlog(keys: number, oldestAgeMs: number): void
}

// One key up to the largest batch any provider takes.
const BATCH_KEYS = [1, 2, 5, 10, 20, 50, 100, 200, 256]

/** Declares the instruments in `registry`. */
export function createPurgerMetrics(registry: MetricsRegistry, time: TimeSource): PurgerMetrics {
  const commitToEdge = new LatencyRecorder()
  const evict = evictionHistogram(registry)
  const timeouts = registry.counter(
    'lockstep_purge_barrier_timeouts_total',
    'Purges sent before every live process had applied them.',
  )
  const deadLetters = registry.counter('lockstep_dlq_records_total', 'Records sent to dead-letters.', ['error_code'])
  const backlogKeys = registry.gauge('lockstep_purge_backlog_keys', 'Tags waiting for their live purge.')
  const oldestAge = registry.gauge(
    'lockstep_purge_oldest_age_seconds',
    'Age of the oldest tag waiting for its live purge.',
  )
  return {
    ...providerMetrics(registry),
    commitToEdge,
    purged({ commitTimeUs }) {
      const ms = Math.max(0, time.wallMs() - Number(commitTimeUs) / 1000)
      commitToEdge.record(ms)
      evict.observe(ms / 1000, { layer: 'cdn' })
    },
    barrierTimedOut: (count) => timeouts.inc({}, count),
    deadLettered: (code) => deadLetters.inc({ error_code: code }),
    backlog(count, oldestAgeMs) {
      backlogKeys.set(count)
      oldestAge.set(oldestAgeMs / 1000)
    },
  }
}

function providerMetrics(registry: MetricsRegistry): ProviderMetrics {
  const counter = (name: string, help: string, ...labels: string[]) =>
    registry.counter(name, help, ['provider', ...labels])
  const requests = counter('lockstep_purge_requests_total', 'Purge requests by answer.', 'outcome')
  const keys = registry.histogram('lockstep_purge_batch_keys', 'Keys per purge request.', BATCH_KEYS, ['provider'])
  const throttled = counter('lockstep_purge_throttled_total', 'Requests an edge throttled.')
  const catches = counter(
    'lockstep_purge_rebound_catches_total',
    'Objects a rebound removed: stored after the live purge of their tag.',
  )
  const drain = registry.gauge('lockstep_purge_drain_seconds', 'Forecast of the time to drain what waits.', [
    'provider',
  ])
  const escalations = counter(
    'lockstep_purge_escalations_total',
    'Times that waiting keys were replaced by their class, or everything, to drain in time.',
    'level',
  )
  const authFailures = counter(
    'lockstep_purge_auth_failures_total',
    'Times an edge began to deny our credentials; purges wait until it takes them.',
  )
  const budgetAways = counter(
    'lockstep_purge_budget_away_total',
    'Requests paced by the buckets of this process alone, because the shared ones could not be asked.',
  )
  return {
    answered(provider, { reply, keys: count, phase }) {
      requests.inc({ provider, outcome: reply.kind })
      keys.observe(count, { provider })
      if (reply.kind === 'throttled') throttled.inc({ provider })
      if (reply.kind === 'purged' && phase === 'rebound' && reply.objects) catches.inc({ provider }, reply.objects)
    },
    forecast: (provider, drainMs) => drain.set(drainMs === null ? Number.NaN : drainMs / 1000, { provider }),
    escalated: (provider, level) => escalations.inc({ provider, level }),
    denied: (provider) => authFailures.inc({ provider }),
    budgetAway: (provider) => budgetAways.inc({ provider }),
  }
}

// From one small write to SQLite up to a database that is nearly away.
const WRITE_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5]

/** Declares the instruments of the journal; the result takes each write that was made. */
export function createJournalMetrics(registry: MetricsRegistry): (purges: number, tookMs: number) => void {
  const writes = registry.histogram(
    'lockstep_purge_journal_write_seconds',
    'Writes of the purge journal.',
    WRITE_BUCKETS,
  )
  const written = registry.counter(
    'lockstep_purge_journal_purges_total',
    'Purges written to the journal, once per state.',
  )
  return (purges, tookMs) => {
    writes.observe(tookMs / 1_000)
    written.inc({}, purges)
  }
}
