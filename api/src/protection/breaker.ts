import type { TimeSource } from '@lockstep/runtime'

/** What `/statusz` says of a dependency. */
export type BreakerState = 'closed' | 'open' | 'half-open'

/** Settings of a breaker. */
export interface BreakerOptions {
  readonly time: Pick<TimeSource, 'nowMs'>
  /** Faults in a row that open it. */
  readonly failures: number
  /** How long nobody asks after it opened, ms; then one caller tries. */
  readonly pauseMs: number
  /** What callers get meanwhile. */
  readonly refusal: () => Error
  /** Tells a dependency that does not answer from one that refuses; only the former opens the breaker. */
  readonly isFault: (error: unknown) => boolean
}

/** Stops asking what does not answer, and lets one caller at a time find out whether it does again. */
export class Breaker {
  readonly #options: BreakerOptions
  #failures = 0
  #retryAt = 0
  #isTrying = false

  constructor(options: BreakerOptions) {
    this.#options = options
  }

  get state(): BreakerState {
    if (this.#failures < this.#options.failures) return 'closed'
    return this.#isTrying || this.#options.time.nowMs() >= this.#retryAt ? 'half-open' : 'open'
  }

  /** Runs the work unless it is known to fail. @throws the refusal at once then, else what the work throws. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const isTrial = this.state !== 'closed'
    if (isTrial && (this.#isTrying || this.state === 'open')) throw this.#options.refusal()
    if (isTrial) this.#isTrying = true
    try {
      const result = await work()
      this.#failures = 0
      return result
    } catch (error) {
      if (this.#options.isFault(error)) this.#failed()
      else this.#failures = 0
      throw error
    } finally {
      if (isTrial) this.#isTrying = false
    }
  }

  #failed(): void {
    this.#failures += 1
    if (this.#failures >= this.#options.failures) this.#retryAt = this.#options.time.nowMs() + this.#options.pauseMs
  }
}
