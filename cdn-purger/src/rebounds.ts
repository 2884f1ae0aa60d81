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
  readonly #owed = new Map<Tag, Owed[]>()
  readonly #stopping = new AbortController()
  #acknowledged: { readonly tag: Tag; readonly liveMs: number }[] = []

  constructor(deps: ReboundDeps) {
    this.#deps = deps
  }

  /** Tags whose rebound is still to come. */
  get size(): number {
    return this.#owed.size
  }

  /** Notes that all tiers have a purge whose first request was sent at `startedMs`. */
  done(purge: Purge, startedMs: number): void {
    this.#settle(purge.tag, startedMs)
    if (purge.phase === 'rebound') return
    if (this.#deps.unsafeSkip) return purge.tickets.release()
    const liveMs = this.#deps.time.nowMs()
    const owed = this.#owed.get(purge.tag)
    if (owed) append(owed, { purge, liveMs, sinceMs: liveMs }, this.#deps.reboundMs / MAX_OWED_PER_TAG)
    else this.#owed.set(purge.tag, [{ purge, liveMs, sinceMs: liveMs }])
    if (this.#acknowledged.length === 0) this.#arm()
    this.#acknowledged.push({ tag: purge.tag, liveMs })
  }

  stop(): void {
    this.#stopping.abort()
    this.#owed.clear()
  }

  /** One timer for all purges that were acknowledged within a slot: nobody waits for a rebound, and one request carries many. */
  #arm(): void {
    const { time, reboundMs } = this.#deps
    const dueMs = time.nowMs() + reboundMs * (1 + SLOT_SHARE)
    this.#sleepUntil(time.nowMs() + reboundMs * SLOT_SHARE)
      .then(() => {
        const acknowledged = this.#acknowledged
        this.#acknowledged = []
        return this.#sleepUntil(dueMs).then(() => acknowledged.forEach(({ tag, liveMs }) => this.#fire(tag, liveMs)))
      })
      .catch(() => undefined)
  }

  /** Never returns early, as a timer may: a rebound sent a fraction too soon would settle nothing. */
  async #sleepUntil(dueMs: number): Promise<void> {
    const { time } = this.#deps
    do await time.sleep(Math.max(1, dueMs - time.nowMs()), this.#stopping.signal)
    while (time.nowMs() < dueMs)
  }

  #fire(tag: Tag, liveMs: number): void {
    const newest = this.#owed.get(tag)?.at(-1)
    if (!newest || newest.liveMs > liveMs) return
    this.#deps.onDue({ ...newest.purge, phase: 'rebound' })
  }

  #settle(tag: Tag, startedMs: number): void {
    const owed = this.#owed.get(tag)
    if (!owed) return
    const left = owed.filter(({ purge, liveMs }) => {
      const isSettled = liveMs + this.#deps.reboundMs <= startedMs
      if (isSettled) purge.tickets.release()
      return !isSettled
    })
    if (left.length > 0) this.#owed.set(tag, left)
    else this.#owed.delete(tag)
  }
}

function append(owed: Owed[], next: Owed, spanMs: number): void {
  const last = owed.at(-1)
  if (!last || next.liveMs - last.sinceMs >= spanMs) owed.push(next)
  else owed[owed.length - 1] = { ...next, purge: mergePurges(last.purge, next.purge), sinceMs: last.sinceMs }
}
