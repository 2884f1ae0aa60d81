import type { CacheClock } from './types.ts'

interface Deadline {
  readonly at: number
  readonly expire: (isStopped: boolean) => void
}

/**
 * Ends what runs too long. All may run equally long, so they end in the order in which they began, and one timer serves
 * all: most are done long before it rings.
 */
export class Deadlines {
  /** How long each may run. */
  readonly ms: number
  readonly #clock: CacheClock
  readonly #signal: AbortSignal
  readonly #open = new Set<Deadline>()
  #isWatching = false

  /** `signal` ends everything that runs, and what begins behind it at once. */
  constructor(ms: number, clock: CacheClock, signal: AbortSignal) {
    this.ms = ms
    this.#clock = clock
    this.#signal = signal
  }

  /** Calls `expire` unless the answer is called in time. */
  begin(expire: (isStopped: boolean) => void): () => void {
    const deadline: Deadline = { at: this.#clock.now() + this.ms, expire }
    this.#open.add(deadline)
    if (!this.#isWatching) void this.#watch()
    return () => this.#open.delete(deadline)
  }

  async #watch(): Promise<void> {
    this.#isWatching = true
    for (let [first] = this.#open; first; [first] = this.#open) {
      if (!this.#signal.aborted) await this.#clock.sleep(Math.max(0, first.at - this.#clock.now()), this.#signal)
      this.#expire()
    }
    this.#isWatching = false
  }

  #expire(): void {
    const now = this.#clock.now()
    const isStopped = this.#signal.aborted
    for (const deadline of this.#open) {
      if (deadline.at > now && !isStopped) return
      this.#open.delete(deadline)
      deadline.expire(isStopped)
    }
  }
}
