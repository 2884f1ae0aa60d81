import { systemClock } from './clock.ts'
import type { CacheClock } from './types.ts'

/** Limits of what goes to the database. */
export interface AdmissionOptions {
  readonly maxConcurrent: number
  /** Longest wait for a turn, ms. */
  readonly queueMs: number
  /** What is thrown at who gets no turn. One for all: a stack for each would cost more than the refusal. */
  readonly refusal: Error
  /** Default the system's. */
  readonly clock?: CacheClock | undefined
}

/** A queue that has not been empty for as long as the longest wait is no burst: then only this share of that wait is let in. */
const STANDING_SHARE = 0.1
/** Share of the newest duration in the mean. */
const NEWEST_SHARE = 0.1

interface Waiter {
  readonly admit: () => void
  readonly timer: AbortController
}

/**
 * Lets a bounded number of works run; the others queue in order, for a bounded time. Who cannot have a turn in time, by how
 * many wait and how long works take, is refused at once, so the queue is bounded in number too. Bursts may use all of the
 * wait; a queue that stands is kept short, because a long one makes everybody late and nobody faster.
 */
export class Admission {
  readonly #options: AdmissionOptions
  readonly #clock: CacheClock
  readonly #queue = new Set<Waiter>()
  #running = 0
  #refused = 0
  /** Mean duration of a work, ms. */
  #meanMs = 0
  /** When somebody last began or ended. */
  #movedAt = 0
  /** Since when somebody has always waited; null while nobody does. */
  #standingSince: number | null = null

  constructor(options: AdmissionOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
  }

  get running(): number {
    return this.#running
  }

  get waiting(): number {
    return this.#queue.size
  }

  /** How many got no turn. */
  get refused(): number {
    return this.#refused
  }

  /** Tells whether `run` would refuse now. */
  get isFull(): boolean {
    const { maxConcurrent, queueMs } = this.#options
    if (this.#running < maxConcurrent || this.#queue.size === 0) return false
    const now = this.#clock.now()
    const isStanding = this.#standingSince !== null && now - this.#standingSince > queueMs
    // Where nothing has moved for longer than works take, they take longer now.
    const workMs = Math.max(this.#meanMs, now - this.#movedAt)
    const waitMs = Math.ceil((this.#queue.size + 1) / maxConcurrent) * workMs
    return waitMs > (isStanding ? queueMs * STANDING_SHARE : queueMs)
  }

  /** Runs the work in its turn. @throws the refusal when it has none in time. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    // Not awaited where there is nothing to wait for.
    if (this.#running < this.#options.maxConcurrent) this.#running += 1
    else await this.#queueUp()
    const began = (this.#movedAt = this.#clock.now())
    try {
      return await work()
    } finally {
      this.#leave(began)
    }
  }

  /** Tells whether `run` would not refuse now, before other work is done; where it would, that counts as a refusal. */
  admits(): boolean {
    if (!this.isFull) return true
    this.#refused += 1
    return false
  }

  /** Throws the refusal if `run` would. */
  check(): void {
    if (!this.admits()) throw this.#options.refusal
  }

  #refuse(): Error {
    this.#refused += 1
    return this.#options.refusal
  }

  #queueUp(): Promise<void> {
    if (this.isFull) return Promise.reject(this.#refuse())
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { admit: resolve, timer: new AbortController() }
      this.#queue.add(waiter)
      this.#standingSince ??= this.#clock.now()
      void this.#clock.sleep(this.#options.queueMs, waiter.timer.signal).then(() => {
        if (!this.#queue.delete(waiter)) return
        this.#noteIfEmpty()
        reject(this.#refuse())
      })
    })
  }

  #leave(began: number): void {
    const now = this.#clock.now()
    this.#movedAt = now
    this.#meanMs += (now - began - this.#meanMs) * (this.#meanMs === 0 ? 1 : NEWEST_SHARE)
    const [next] = this.#queue
    if (!next) {
      this.#running -= 1
      return
    }
    // The turn is handed over, so `running` stays.
    this.#queue.delete(next)
    this.#noteIfEmpty()
    next.timer.abort(TAKEN)
    next.admit()
  }

  #noteIfEmpty(): void {
    if (this.#queue.size === 0) this.#standingSince = null
  }
}

// An abort without a reason builds a DOMException with a stack.
const TAKEN = new Error('the turn has come')
