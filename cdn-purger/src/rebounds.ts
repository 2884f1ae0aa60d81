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
  /** The newest of each tag. */
  readonly #owed = new Map<Tag, Owed>()
  /** First purges on their way, by tag: what they owe will settle what was owed before. */
  readonly #underway = new Map<Tag, number>()
  readonly #stopping = new AbortController()
  #acknowledged: Owed[] = []

  constructor(deps: ReboundDeps) {
    this.#deps = deps
  }

  /** Tags whose rebound is still to come. */
  get size(): number {
    return this.#owed.size
  }

  /** Notes that the first purge for a command is on its way. */
  begin({ tag }: Purge): void {
    this.#underway.set(tag, (this.#underway.get(tag) ?? 0) + 1)
  }

  /** Notes that all tiers have a purge whose first request was sent at `startedMs`. */
  done(purge: Purge, startedMs: number): void {
    const { time, reboundMs, unsafeSkip } = this.#deps
    if (purge.phase !== 'rebound') this.#end(purge.tag)
    const newest = this.#owed.get(purge.tag)
    const left = newest ? this.#settle(newest, startedMs) : null
    if (purge.phase === 'rebound' || unsafeSkip) {
      if (purge.phase !== 'rebound') purge.tickets.release()
      if (newest && !left) this.#owed.delete(purge.tag)
      return
    }
    const liveMs = time.nowMs()
    const isSameSpan = left !== null && liveMs - left.sinceMs < reboundMs / MAX_OWED_PER_TAG
    const owed: Owed = isSameSpan
      ? { purge: mergePurges(left.purge, purge), liveMs, sinceMs: left.sinceMs, older: left.older }
      : { purge, liveMs, sinceMs: liveMs, older: left }
    this.#owed.set(purge.tag, owed)
    if (this.#acknowledged.length === 0) this.#arm()
    this.#acknowledged.push(owed)
  }

  stop(): void {
    this.#stopping.abort()
    this.#owed.clear()
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
      const newest = this.#owed.get(purge.tag)
      // A newer purge has a rebound of its own; this one could arrive after it, for an older change.
      if (newest && newest.liveMs <= liveMs && !this.#underway.has(purge.tag))
        this.#deps.onDue({ ...newest.purge, phase: 'rebound' })
    }
  }

  #end(tag: Tag): void {
    const count = this.#underway.get(tag) ?? 0
    if (count > 1) this.#underway.set(tag, count - 1)
    else this.#underway.delete(tag)
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
