import type { CacheError } from './errors.ts'

/** Time until the first try, and the longest time between tries, ms. */
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 2_000

/** What a breaker guards. */
export interface BreakerOptions {
  readonly now: () => number
  /** Failures in a row that open it. */
  readonly failures: number
  /** What a caller gets while it is open. */
  readonly refusal: () => CacheError
}

/** Stops asking what does not answer, and lets one caller at a time find out whether it does again. */
export class Breaker {
  readonly #options: BreakerOptions
  #failures = 0
  #pauseMs = FIRST_PAUSE_MS
  #retryAt = 0

  constructor(options: BreakerOptions) {
    this.#options = options
  }

  get isOpen(): boolean {
    return this.#failures >= this.#options.failures
  }

  /** Runs the work unless it is known to fail. @throws the refusal at once then. */
  async run<T>(work: () => Promise<T>, isFault: (error: unknown) => boolean): Promise<T> {
    if (this.isOpen) {
      if (this.#options.now() < this.#retryAt) {
        throw this.#options.refusal()
      }
      // Whoever comes first tries; the others are refused until it is known.
      this.#retryAt = this.#options.now() + this.#pauseMs
      this.#pauseMs = Math.min(LONGEST_PAUSE_MS, this.#pauseMs * 2)
    }
    try {
      const result = await work()
      this.#failures = 0
      this.#pauseMs = FIRST_PAUSE_MS
      return result
    } catch (error) {
      if (isFault(error)) this.#failed()
      throw error
    }
  }

  #failed(): void {
    this.#failures += 1
    if (this.#failures === this.#options.failures) this.#retryAt = this.#options.now() + this.#pauseMs
  }
}
