import type { TimeSource } from '@lockstep/runtime'

/** So many requests per second, so many at once. */
export interface RateLimit {
  readonly perSecond: number
  readonly burst: number
}

// Callers remembered. Where they are more, those not yet known are refused: memory must not be theirs to fill.
const MAX_CALLERS = 10_000

/**
 * Limits callers by the generic cell rate algorithm, in this process: there is no store that could be away, so it cannot
 * fail open.
 */
export class RateLimiter {
  readonly #time: TimeSource
  readonly #limit: RateLimit
  /** When each caller's bucket is full again, monotonic ms. */
  readonly #fullAtMs = new Map<string, number>()

  constructor(limit: RateLimit, time: TimeSource) {
    this.#limit = limit
    this.#time = time
  }

  /** Tells whether `take` would let the caller in, without taking anything. */
  hasRoom(caller: string): boolean {
    const waitedMs = (this.#fullAtMs.get(caller) ?? 0) - this.#time.nowMs()
    return waitedMs <= ((this.#limit.burst - 1) * 1_000) / this.#limit.perSecond
  }

  /** Takes one request; answers how long to wait before it would be let in, 0 when it is. */
  take(caller: string): number {
    const nowMs = this.#time.nowMs()
    const stepMs = 1_000 / this.#limit.perSecond
    const fullAtMs = Math.max(nowMs, this.#fullAtMs.get(caller) ?? 0)
    const waitMs = fullAtMs + stepMs - nowMs - this.#limit.burst * stepMs
    if (waitMs > 0) return waitMs
    if (!this.#fullAtMs.has(caller) && this.#fullAtMs.size >= MAX_CALLERS && !this.#forget(nowMs)) return stepMs
    this.#fullAtMs.set(caller, fullAtMs + stepMs)
    return 0
  }

  /** Forgets callers whose bucket is full; false when there was none. */
  #forget(nowMs: number): boolean {
    for (const [caller, fullAtMs] of this.#fullAtMs) if (fullAtMs <= nowMs) this.#fullAtMs.delete(caller)
    return this.#fullAtMs.size < MAX_CALLERS
  }
}
