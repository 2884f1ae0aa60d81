import type { TimeSource } from '@lockstep/runtime'
import type { PlannedPurge } from './jobs.ts'

/** How far a window is: only what ends without a gap from its beginning counts, because only that is never done again. */
export interface Progress {
  readonly cursor: string
  readonly done: number
  readonly refused: number
}

const OPEN = 0
const DONE = 1
const REFUSED = 2

/** Slides over a plan: purges begin in order, end in any order, and progress is the part without gaps. */
export class Window {
  readonly #plan: readonly PlannedPurge[]
  readonly #ends: Uint8Array
  #begun = 0
  #outstanding = 0
  #prefix = 0
  #refused = 0
  #notify: () => void = () => undefined

  constructor(plan: readonly PlannedPurge[]) {
    this.#plan = plan
    this.#ends = new Uint8Array(plan.length)
  }

  get isDone(): boolean {
    return this.#prefix === this.#plan.length
  }

  get progress(): Progress {
    const cursor = this.#plan[this.#prefix - 1]?.tag ?? ''
    return { cursor, done: this.#prefix - this.#refused, refused: this.#refused }
  }

  /** The indices to begin now, so that at most `max` are under way. */
  *next(max: number): Generator<number> {
    while (this.#outstanding < max && this.#begun < this.#plan.length) {
      this.#outstanding += 1
      yield this.#begun++
    }
  }

  ended(index: number, isRefused: boolean): void {
    this.#ends[index] = isRefused ? REFUSED : DONE
    this.#outstanding -= 1
    for (let end = this.#ends[this.#prefix]; end !== undefined && end !== OPEN; end = this.#ends[this.#prefix]) {
      if (end === REFUSED) this.#refused += 1
      this.#prefix += 1
    }
    this.#notify()
  }

  /** Resolves when something ended, after `ms`, or when `signal` aborts. */
  async changed(time: TimeSource, ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController()
    this.#notify = () => woken.abort()
    await time.sleep(ms, AbortSignal.any([signal, woken.signal])).catch(() => undefined)
  }
}
