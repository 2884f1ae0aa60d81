import type { TimeSource } from '@lockstep/runtime'
import type { Breaker } from '../protection/breaker.ts'
import type { Grant, LimitPolicy, LimitStore } from './policy.ts'

/** Whether a request may go ahead, and what its client is told. */
export type Verdict =
  | { readonly outcome: 'admitted'; readonly remaining: number; readonly resetMs: number }
  /** Too many: 429. */
  | { readonly outcome: 'limited'; readonly waitMs: number }
  /** Nobody can count, and the policy does not admit unseen: 503. */
  | { readonly outcome: 'unavailable' }

/** What a limiter needs. */
export interface LimiterOptions {
  readonly policy: LimitPolicy
  /** Counts for all replicas. */
  readonly shared: LimitStore
  /** Counts for this one, while the shared store is away and the policy admits. */
  readonly local: LimitStore
  readonly breaker: Breaker
  readonly time: Pick<TimeSource, 'nowMs'>
}

// A replica takes for the requests that wait and for as many more as it has just seen in this time, so that most requests
// ask nobody. What it has taken and not used within the life is lost to the client: a share of the limit, taken whatever the
// client sends, would cost one of few requests to each of three replicas more than the limit.
const AHEAD_MS = 250
const CREDIT_LIFE_MS = 1_000
// And no more than this share of the limit; one below 100 is asked for one by one, exactly.
const BATCH_SHARE = 0.01
const MAX_CLIENTS = 10_000

interface Credits {
  left: number
  endsAt: number
  askedAt: number
  usedSince: number
  waiting: number
  refusedUntil: number
  remaining: number
  resetMs: number
  asking: Promise<Verdict | null> | null
}

/**
 * Limits the clients of one policy. Requests are paid from credits that this process has taken before; only who has none
 * waits for the store, and who was refused is refused here until the time that the store named.
 */
export class Limiter {
  readonly policy: LimitPolicy
  readonly #options: LimiterOptions
  readonly #batch: number
  readonly #clients = new Map<string, Credits>()

  constructor(options: LimiterOptions) {
    this.policy = options.policy
    this.#options = options
    this.#batch = Math.max(1, Math.floor(options.policy.limit * BATCH_SHARE))
  }

  /** Judges a request of this client. Never rejects. */
  admit(client: string): Verdict | Promise<Verdict> {
    const credits = this.#creditsOf(client)
    const now = this.#options.time.nowMs()
    if (credits.left > 0 && now < credits.endsAt) return this.#pay(credits)
    if (now < credits.refusedUntil) return { outcome: 'limited', waitMs: credits.refusedUntil - now }
    return this.#ask(client, credits)
  }

  #pay(credits: Credits): Verdict {
    credits.left -= 1
    credits.usedSince += 1
    return { outcome: 'admitted', remaining: credits.remaining + credits.left, resetMs: credits.resetMs }
  }

  async #ask(client: string, credits: Credits): Promise<Verdict> {
    credits.waiting += 1
    try {
      for (;;) {
        // One question for all who wait; where a batch is one credit, each asks for its own.
        const isShared = this.#batch > 1
        const asking = (isShared ? credits.asking : null) ?? this.#take(client, credits)
        if (isShared) credits.asking = asking
        const verdict = await asking
        if (credits.asking === asking) credits.asking = null
        if (verdict !== null) return verdict
        if (credits.left > 0) return this.#pay(credits)
      }
    } finally {
      credits.waiting -= 1
    }
  }

  /** How many credits to ask for. */
  #wanted(credits: Credits, now: number): number {
    const ahead = Math.floor((credits.usedSince * AHEAD_MS) / Math.max(1, now - credits.askedAt))
    credits.askedAt = now
    credits.usedSince = 0
    return Math.min(this.#batch, Math.max(credits.waiting, ahead))
  }

  /** Takes a batch; null where there are credits now. */
  async #take(client: string, credits: Credits): Promise<Verdict | null> {
    const { policy, local, time } = this.#options
    const want = this.#wanted(credits, time.nowMs())
    let grant: Grant
    try {
      grant = await this.#options.breaker.run(() => this.#options.shared.take(policy, client, want))
    } catch {
      if (policy.withoutRedis === 'refuse') return { outcome: 'unavailable' }
      grant = await local.take(policy, client, want)
    }
    const now = time.nowMs()
    if (grant.granted === 0) {
      credits.refusedUntil = now + grant.waitMs
      return { outcome: 'limited', waitMs: grant.waitMs }
    }
    credits.left = (now < credits.endsAt ? credits.left : 0) + grant.granted
    credits.endsAt = now + CREDIT_LIFE_MS
    credits.remaining = grant.remaining
    credits.resetMs = grant.resetMs
    return null
  }

  #creditsOf(client: string): Credits {
    const known = this.#clients.get(client)
    if (known !== undefined) return known
    if (this.#clients.size >= MAX_CLIENTS) this.#clients.delete(this.#clients.keys().next().value ?? '')
    const made: Credits = {
      left: 0,
      endsAt: 0,
      askedAt: 0,
      usedSince: 0,
      waiting: 0,
      refusedUntil: 0,
      remaining: 0,
      resetMs: 0,
      asking: null,
    }
    this.#clients.set(client, made)
    return made
  }
}
