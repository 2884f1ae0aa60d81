import { classOf, classTag, EVERYTHING, ZERO_STAMP, type Stamp, type Tag } from '@lockstep/schemas'
import { isCoarse } from './advance-plan.ts'
import type { Attachment } from './store.ts'

interface Raised {
  readonly stamp: Stamp
  /** Monotonic ms at which this process applied it. */
  readonly at: number
}

/** A fence of a plain tag. */
interface RaisedPlain {
  stamp: Stamp
  at: number
  /** Raised since it was last passed over. */
  isAgain: boolean
}

/** Enough for about 20 s of 5,000 invalidations a second, at some 120 bytes each. */
const MAX_FENCES = 100_000

/**
 * Recent fences as this process knows them. For a value with stamp ≥ `start` the mirror alone decides: every fence applied
 * before the tail attached is at most `start`, and every later one comes through the bus and is kept here or has raised
 * `start` when it was dropped. Fences are maxima, so attaching again forgets none.
 */
export class Mirror {
  readonly #fences = new Map<string, RaisedPlain>()
  /**
   * Stands at the oldest: whatever it has passed is gone or behind the others. A new iterator would begin with the places of
   * all that was deleted, which a map keeps until it is built anew.
   */
  readonly #oldest = this.#fences.entries()
  readonly #classes = new Map<string, Raised>()
  readonly #maxFences: number
  #everything: Raised = { stamp: ZERO_STAMP, at: Number.NEGATIVE_INFINITY }
  #start: Stamp | null = null
  /** Since when every fence is remembered with its time. */
  #completeSince = Number.POSITIVE_INFINITY

  constructor(maxFences = MAX_FENCES) {
    this.#maxFences = maxFences
  }

  /** The stamp from which on the mirror alone decides; null while detached. */
  get start(): Stamp | null {
    return this.#start
  }

  get size(): number {
    return this.#fences.size
  }

  get everything(): Stamp {
    return this.#everything.stamp
  }

  /** Begins at a position of the bus. */
  attach(attachment: Attachment, now: number): void {
    this.#start = attachment.start
    this.#completeSince = now
    this.raise(EVERYTHING, attachment.everything, now)
    for (const [tagClass, stamp] of attachment.classes) this.raise(`${tagClass}:*`, stamp, now)
  }

  /** Takes note that fences may have been missed. */
  detach(): void {
    this.#start = null
    this.#completeSince = Number.POSITIVE_INFINITY
  }

  /** Raises the fence of a tag, a class tag or `*`. */
  raise(tag: string, stamp: Stamp, now: number): void {
    if (tag === EVERYTHING) this.#everything = later(this.#everything, stamp, now)
    else if (isCoarse(tag))
      this.#classes.set(classOf(tag as Tag), later(this.#classes.get(classOf(tag as Tag)), stamp, now))
    else this.#raisePlain(tag, stamp, now)
  }

  /** Tells whether a fence of one of the tags, of their classes or of `*` is newer than the stamp. */
  covers(tags: readonly string[], stamp: Stamp): boolean {
    return this.coveredBy(tags, stamp) !== null
  }

  /** Names what `covers`: a tag, a class tag or `*`; null when nothing does. */
  coveredBy(tags: readonly string[], stamp: Stamp): string | null {
    if (this.#everything.stamp > stamp) return EVERYTHING
    for (const tag of tags) {
      const fence = this.#fences.get(tag)
      if (fence !== undefined && fence.stamp > stamp) return tag
      if (this.#classes.size === 0) continue
      const classFence = this.#classes.get(classOf(tag as Tag))
      if (classFence !== undefined && classFence.stamp > stamp) return classTag(classOf(tag as Tag))
    }
    return null
  }

  /** Tells whether one of the tags was fenced after `since`, or whether that can no longer be known. */
  raisedAfter(tags: readonly string[], since: number): boolean {
    if (this.#completeSince > since || this.#everything.at > since) return true
    const isAfter = (raised: Raised | undefined): boolean => raised !== undefined && raised.at > since
    const hasClasses = this.#classes.size > 0
    return tags.some(
      (tag) => isAfter(this.#fences.get(tag)) || (hasClasses && isAfter(this.#classes.get(classOf(tag as Tag)))),
    )
  }

  /** The fence of this very tag as far as it is remembered; null = none is. */
  fenceOf(tag: string): Stamp | null {
    return this.#fences.get(tag)?.stamp ?? null
  }

  /** Tells whether this very tag is known to have been fenced after `since`. */
  wasRaisedAfter(tag: string, since: number): boolean {
    const raised = this.#fences.get(tag)
    return raised !== undefined && raised.at > since
  }

  #raisePlain(tag: string, stamp: Stamp, now: number): void {
    const known = this.#fences.get(tag)
    if (known) {
      // In its place: a map keeps the place of what was deleted, and popular tags are raised often.
      if (known.stamp < stamp) known.stamp = stamp
      known.at = now
      known.isAgain = true
      return
    }
    const { size } = this.#fences
    // Before the newest is there, and never of none: an iterator that has come to its end stays there.
    if (size > 0 && size >= this.#maxFences) this.#dropOldest()
    this.#fences.set(tag, { stamp, at: now, isAgain: false })
  }

  /** Drops the oldest; one that was raised again since it was last looked at goes behind the others first. */
  #dropOldest(): void {
    for (;;) {
      const next = this.#oldest.next()
      if (next.done) return
      const [tag, fence] = next.value
      this.#fences.delete(tag)
      if (!fence.isAgain) {
        if (this.#start !== null && this.#start < fence.stamp) this.#start = fence.stamp
        this.#completeSince = Math.max(this.#completeSince, fence.at)
        return
      }
      fence.isAgain = false
      this.#fences.set(tag, fence)
    }
  }
}

function later(known: Raised | undefined, stamp: Stamp, now: number): Raised {
  return { stamp: known && known.stamp > stamp ? known.stamp : stamp, at: now }
}
