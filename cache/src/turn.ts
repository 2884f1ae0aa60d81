import { systemClock } from './clock.ts'
import type { Freshness } from './freshness.ts'
import type { CacheClock } from './types.ts'

/** Reads that share one look at the clock; a turn that computes for long between two reads soon looks again. */
const READS_PER_LOOK = 32

/**
 * The time at which a turn of the event loop stands. A callback of the loop, with the microtasks it causes, takes nothing
 * in: whoever is answered in it asked before it began. So all its reads may be judged as of its beginning, and the clocks
 * (some 35 ns each) are read once per turn, or per 32 reads of it. With any other clock than the system's each read looks.
 */
export class Turn {
  readonly #clock: CacheClock
  readonly #freshness: Freshness
  readonly #readsPerLook: number
  readonly #end = (): void => {
    this.#isOpen = false
    this.#left = 0
  }
  #now = 0
  #left = 0
  #isOpen = false

  constructor(clock: CacheClock, freshness: Freshness) {
    this.#clock = clock
    this.#freshness = freshness
    this.#readsPerLook = clock === systemClock ? READS_PER_LOOK : 0
  }

  /** Monotonic ms, at most as late as now and not before the turn began; looks for a suspended machine too. */
  now(): number {
    if (this.#left > 0) {
      this.#left -= 1
      return this.#now
    }
    return this.#look()
  }

  #look(): number {
    this.#now = this.#clock.now()
    this.#freshness.beginTurn(this.#now)
    this.#left = this.#readsPerLook
    if (!this.#isOpen && this.#readsPerLook > 0) {
      this.#isOpen = true
      // Runs when the microtasks of this callback are done, before the loop takes in anything else.
      process.nextTick(this.#end)
    }
    return this.#now
  }
}
