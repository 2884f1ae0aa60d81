import { CacheError } from './errors.ts'
import type { CacheClock } from './types.ts'

/** Limits of a process' loads. */
export interface AdmissionOptions {
  readonly maxConcurrent: number
  /** Longest wait for a turn, ms. */
  readonly queueMs: number
  readonly clock: CacheClock
}

interface Waiter {
  readonly admit: () => void
  readonly timer: AbortController
}

/** Lets a bounded number of loads run; the others queue in order, for a bounded time. */
export class Admission {
  readonly #options: AdmissionOptions
  readonly #queue = new Set<Waiter>()
  #running = 0

  constructor(options: AdmissionOptions) {
    this.#options = options
  }

  get running(): number {
    return this.#running
  }

  /** Runs the work in its turn. @throws CacheError LOCKSTEP_CACHE_OVERLOADED when its turn did not come in time. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.#enter()
    try {
      return await work()
    } finally {
      this.#leave()
    }
  }

  #enter(): Promise<void> {
    if (this.#running < this.#options.maxConcurrent) {
      this.#running += 1
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { admit: resolve, timer: new AbortController() }
      this.#queue.add(waiter)
      const { clock, queueMs } = this.#options
      void clock.sleep(queueMs, waiter.timer.signal).then(() => {
        if (!this.#queue.delete(waiter)) return
        const message = `no turn for a load within ${queueMs} ms: answer 503, or raise maxConcurrentLoads`
        reject(new CacheError('LOCKSTEP_CACHE_OVERLOADED', message))
      })
    })
  }

  #leave(): void {
    const [next] = this.#queue
    if (!next) {
      this.#running -= 1
      return
    }
    // The turn is handed over, so `running` stays.
    this.#queue.delete(next)
    next.timer.abort()
    next.admit()
  }
}
