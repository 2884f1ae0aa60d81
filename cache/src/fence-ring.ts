import { classOf, EVERYTHING, type Stamp, type Tag } from '@lockstep/schemas'
import { isCoarse } from './advance-plan.ts'

/** Loads of several seconds at 1,000 fences a second can still be judged; older questions are answered "do not share". */
const CAPACITY = 8_192

/** The last fences in the order in which this process applied them: tells what arrived between two moments. */
export class FenceRing {
  readonly #capacity: number
  readonly #tags: string[]
  readonly #stamps: Stamp[]
  #sequence = 0

  constructor(capacity = CAPACITY) {
    this.#capacity = capacity
    this.#tags = Array.from({ length: capacity }, () => '')
    this.#stamps = Array.from({ length: capacity }, () => '' as Stamp)
  }

  /** Number of fences so far: a moment to ask about later. */
  get sequence(): number {
    return this.#sequence
  }

  push(tag: string, stamp: Stamp): void {
    const slot = this.#sequence % this.#capacity
    this.#tags[slot] = tag
    this.#stamps[slot] = stamp
    this.#sequence += 1
  }

  /**
   * Tells whether a fence of the tags newer than `stamp` arrived after the moment `since` and up to `until`; true
   * as well when that is no longer known.
   */
  conflicts(window: { since: number; until?: number }, tags: readonly string[], stamp: Stamp): boolean {
    const until = window.until ?? this.#sequence
    if (until <= window.since) return false
    if (window.since < this.#sequence - this.#capacity) return true
    for (let index = window.since; index < until; index++) {
      const slot = index % this.#capacity
      const fence = this.#stamps[slot]
      if (fence !== undefined && fence > stamp && concerns(this.#tags[slot] ?? '', tags)) return true
    }
    return false
  }
}

function concerns(fenced: string, tags: readonly string[]): boolean {
  if (fenced === EVERYTHING) return true
  if (!isCoarse(fenced)) return tags.includes(fenced)
  const tagClass = classOf(fenced as Tag)
  return tags.some((tag) => classOf(tag as Tag) === tagClass)
}
