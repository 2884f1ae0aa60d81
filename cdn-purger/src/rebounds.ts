import type { TimeSource } from '@lockstep/runtime'
import type { Tag } from '@lockstep/schemas'
import { mergePurges } from './coalescer.ts'
import type { Purge } from './purge.ts'

interface Owed {
  readonly purge: Purge
  /** When the newest live purge merged here was acknowledged by the last tier, monotonic ms. */
  readonly liveMs: number
  /** When the oldest was. */
  readonly sinceMs: number
  /** The one owed before, of the same tag. */
  older: Owed | null
}

/** One tag between its first purge and the rebound of its last. */
interface Course {
  /** First purges on their way: what they owe will settle what was owed before. */
  underway: number
  newest: Owed | null
}

const IDLE: Course = { underway: 0, newest: null }
// A tag purged without pause owes one rebound per sixteenth of reboundMs, whatever its rate.
const MAX_OWED_PER_TAG = 16
// Share of reboundMs by which a rebound may come late, so that those of one slot travel together.
const SLOT_SHARE = 1 / 16

/** What the rebounds need. */
export interface ReboundDeps {
  readonly time: TimeSource
  /** Longest time a fetch may be in flight, ms. */
  readonly reboundMs: number
  readonly onDue: (purge: Purge) => void
  /** Unsafe, for tests: counts a purge as done without its rebound. */
  readonly unsafeSkip?: boolean | undefined
}

/**
 * Purges every tag once more, `reboundMs` after its live purge: a response that was being fetched during that purge is
 * stored after it. A newer live purge of the tag has its rebound in place of the pending one; any purge sent
 * `reboundMs` after a live one settles it, so a tag written over and over settles within twice that time.
 */
export class Rebounds {
  readonly #deps: ReboundDeps
  readonly #courses = new Map<Tag, Course>()
  readonly #stopping = new AbortController()
  #owing = 0
  #acknowledged: Owed[] = []

  constructor(deps: ReboundDeps) {
    this.#deps = deps
  }

  /** Tags whose rebound is still to come. */
  get size(): number {
    return this.#owing
  }

  /** Notes that the first purge for a command is on its way. */
  begin({ tag }: Purge): void {
    const course = this.#courses.get(tag)
    if (course) course.underway += 1
    else this.#courses.set(tag, { underway: 1, newest: null })
  }

  /** Notes that all tiers have a purge whose first request was sent at `startedMs`. */
  done(purge: Purge, startedMs: number): void {
    const course = this.#courses.get(purge.tag)
    // Stopped meanwhile: what is not settled is purged again after the next start.
    if (!course) return
    const isRebound = purge.phase === 'rebound'
    if (!isRebound) course.underway -= 1
    const left = course.newest ? this.#settle(course.newest, startedMs) : null
    if (isRebound || this.#deps.unsafeSkip) {
      if (!isRebound) purge.tickets.release()
      this.#owe(course, left)
    } else {
      this.#owe(course, this.#owedFor(purge, left))
    }
    if (course.newest === null && course.underway === 0) this.#courses.delete(purge.tag)
  }

  stop(): void {
    this.#stopping.abort()
    this.#courses.clear()
    this.#owing = 0
  }

  #owe(course: Course, owed: Owed | null): void {
    this.#owing += Number(owed !== null) - Number(course.newest !== null)
    course.newest = owed
  }

  /** What a purge that just ended owes, beside or together with what was owed before. */
  #owedFor(purge: Purge, left: Owed | null): Owed {
    const { time, reboundMs } = this.#deps
    const liveMs = time.nowMs()
    const isSameSpan = left !== null && liveMs - left.sinceMs < reboundMs / MAX_OWED_PER_TAG
    const owed: Owed = isSameSpan
      ? { purge: mergePurges(left.purge, purge), liveMs, sinceMs: left.sinceMs, older: left.older }
      : { purge, liveMs, sinceMs: liveMs, older: left }
    if (this.#acknowledged.length === 0) this.#arm()
    this.#acknowledged.push(owed)
    return owed
  }

  /** One timer for all purges that were acknowledged within a slot: nobody waits for a rebound, and one request carries many. */
  #arm(): void {
    const { time, reboundMs } = this.#deps
    this.#sleepUntil(time.nowMs() + reboundMs * SLOT_SHARE)
      .then(() => {
        const acknowledged = this.#acknowledged
        this.#acknowledged = []
        // From now, not from when the slot should have ended: a rebound that comes too soon for one of them settles nothing.
        return this.#sleepUntil(time.nowMs() + reboundMs).then(() => this.#fire(acknowledged))
      })
      .catch(() => undefined)
  }

  /** Never returns early, as a timer may: a rebound sent a fraction too soon would settle nothing. */
  async #sleepUntil(dueMs: number): Promise<void> {
    const { time } = this.#deps
    do await time.sleep(Math.max(1, dueMs - time.nowMs()), this.#stopping.signal)
    while (time.nowMs() < dueMs)
  }

  #fire(acknowledged: readonly Owed[]): void {
    for (const { purge, liveMs } of acknowledged) {
      const { newest, underway } = this.#courses.get(purge.tag) ?? IDLE
      // A newer purge has a rebound of its own; this one could arrive after it, for an older change.
      if (newest && newest.liveMs <= liveMs && underway === 0) this.#deps.onDue({ ...newest.purge, phase: 'rebound' })
    }
  }

  /** Releases what a purge sent at `startedMs` settles; answers the newest of what is left. */
  #settle(newest: Owed, startedMs: number): Owed | null {
    let left: Owed | null = newest
    let newer: Owed | null = null
    while (left && left.liveMs + this.#deps.reboundMs > startedMs) {
      newer = left
      left = left.older
    }
    // What was owed earlier is settled by whatever settles this one.
    for (let owed = left; owed; owed = owed.older) owed.purge.tickets.release()
    if (newer) newer.older = null
    return newer ? newest : null
  }
}
