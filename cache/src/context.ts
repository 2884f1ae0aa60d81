import type { Admission } from './admission.ts'
import type { Freshness } from './freshness.ts'
import type { KeyEvents } from './key-events.ts'
import type { Knowledge } from './knowledge.ts'
import type { LocalLayer } from './l1/local-layer.ts'
import type { Counters } from './stats.ts'
import type { CacheStore } from './store.ts'
import type { Turn } from './turn.ts'
import type { CacheClock, CacheEvents, UnsafeSwitches } from './types.ts'

/** Durations (ms) that bound a read. */
export interface Limits {
  readonly maxStalenessMs: number
  readonly loadTimeoutMs: number
  /** Life of a lease: the longest wait for a turn and the longest load. */
  readonly leaseMs: number
  /** How long a reader waits for another process' load before it loads itself. */
  readonly leaseWaitMs: number
}

/** What all entries of a cache share. */
export interface CacheContext {
  readonly clock: CacheClock
  readonly random: () => number
  readonly limits: Limits
  readonly l1: LocalLayer
  readonly freshness: Freshness
  readonly turn: Turn
  readonly knowledge: Knowledge
  readonly admission: Admission
  /** Null without Redis. */
  readonly store: CacheStore | null
  readonly counters: Counters
  readonly events: CacheEvents
  readonly keyEvents: KeyEvents
  readonly unsafe: UnsafeSwitches
  /** Aborts when the cache stops. */
  readonly signal: AbortSignal
  /** What goes on in Redis behind the readers' backs; `stop` waits for it, so that no lease is left behind. */
  readonly pending: Set<Promise<unknown>>
  /** Names lease holders; never repeats. */
  readonly nonce: () => string
}

/** Lets `stop` wait for work that nobody else waits for. */
export async function track<T>({ pending }: CacheContext, work: Promise<T>): Promise<T> {
  pending.add(work)
  try {
    return await work
  } finally {
    pending.delete(work)
  }
}

/** Notes a failure that a read lives through. */
export function survived(context: CacheContext, error: unknown, doing: string): void {
  context.counters.redisErrors += 1
  context.events.failed?.(error, doing)
}
