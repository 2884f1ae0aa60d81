import type { Tag } from '@lockstep/schemas'

interface Seen {
  readonly incarnation: string
  /** Monotonic ms until which the fence lives at least, unless it is lost. */
  readonly livesUntil: number
  /** See `LeaseReply.evictionMark`. */
  readonly evictionMark: string
}

/** Tags remembered: lists and categories, not keys, whose own fences come with their leases. */
const MOST = 10_000

/**
 * Incarnations of fences that this process made live long not long ago, so that a fill need not touch them again. A value
 * may name any incarnation seen before its load: what is applied later is found in that very record, or the record is gone
 * and the value with it (the model's `before`). So forgetting one, and remembering one too long, only costs loads.
 */
export class Incarnations {
  readonly #seen = new Map<string, Seen>()

  /** The incarnation to name; null where the fence is to be touched. */
  of(tag: Tag, livesUntil: number, evictionMark: string): string | null {
    const seen = this.#seen.get(tag)
    if (!seen || seen.livesUntil < livesUntil || seen.evictionMark !== evictionMark) return null
    return seen.incarnation
  }

  remember(tag: Tag, seen: Seen): void {
    this.#seen.delete(tag)
    this.#seen.set(tag, seen)
    if (this.#seen.size <= MOST) return
    const [oldest] = this.#seen.keys()
    if (oldest !== undefined) this.#seen.delete(oldest)
  }

  /** The fence is not there any more, or another one is. */
  forget(tag: string): void {
    this.#seen.delete(tag)
  }

  clear(): void {
    this.#seen.clear()
  }
}
