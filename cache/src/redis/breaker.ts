import { CacheError } from '../errors.ts'

/** Fewer would open at one slow command of a pipeline; more would cost a reader 100 ms each. */
const FAILURES_TO_OPEN = 5
/** Time until the first try, and the longest time between tries, ms. */
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 2_000

/** Stops asking a server that does not answer, and lets one command at a time find out whether it does again. */
export class Breaker {
  readonly #now: () => number
  #failures = 0
  #pauseMs = FIRST_PAUSE_MS
  #retryAt = 0

  constructor(now: () => number) {
    this.#now = now
  }

  get isOpen(): boolean {
    return this.#failures >= FAILURES_TO_OPEN
  }

  /** Runs the work unless the server is known not to answer. @throws CacheError LOCKSTEP_CACHE_BREAKER_OPEN at once then. */
  async run<T>(work: () => Promise<T>, isServerFault: (error: unknown) => boolean): Promise<T> {
    if (this.isOpen) {
      if (this.#now() < this.#retryAt) {
        throw new CacheError('LOCKSTEP_CACHE_BREAKER_OPEN', 'redis did not answer lately, check that it does')
      }
      // Whoever comes first tries; the others go on without Redis until it is known.
      this.#retryAt = this.#now() + this.#pauseMs
      this.#pauseMs = Math.min(LONGEST_PAUSE_MS, this.#pauseMs * 2)
    }
    try {
      const result = await work()
      this.#failures = 0
      this.#pauseMs = FIRST_PAUSE_MS
      return result
    } catch (error) {
      if (isServerFault(error)) this.#failed()
      throw error
    }
  }

  #failed(): void {
    this.#failures += 1
    if (this.#failures === FAILURES_TO_OPEN) this.#retryAt = this.#now() + this.#pauseMs
  }
}
