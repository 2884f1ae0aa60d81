import type { Stamp } from '@lockstep/schemas'

/** What is kept of one value in this process' memory. */
export interface Kept {
  readonly value: unknown
  readonly stamp: Stamp
  /** The own tag first. */
  readonly tags: readonly string[]
  /** Monotonic ms from which on readers look for a newer one. */
  readonly refreshAt: number
  /** Monotonic ms from which on it is no longer served. */
  readonly deadAt: number
  /** Monotonic ms at which the value was loaded, as far as known. */
  readonly loadedAt: number
  readonly bytes: number
}

const NO_TAGS: readonly string[] = []
/** Takes the place of a value that is no longer there. */
const GONE: unknown = {}

/**
 * A value in this process' memory; also a node of the list in which records leave. Whatever value is here agreed with the
 * mirror when it came and with every fence since. Times are whole ms, so that V8 keeps them within the record.
 */
export class LocalRecord {
  // What a hit looks at stands first, so that it lies together in memory.
  value: unknown
  refreshAt: number
  /** Null until the first hit, undefined until the second. */
  #answer: Promise<unknown> | null | undefined = null
  /** What the policy notes: a turn of the list, or a count of uses. */
  mark = 0
  stamp: Stamp
  readonly key: string
  /** Tags besides the key itself. */
  tags: readonly string[] = NO_TAGS
  deadAt: number
  loadedAt: number
  bytes: number
  previous: LocalRecord | null = null
  next: LocalRecord | null = null

  constructor(key: string, kept: Kept, bytes: number) {
    this.key = key
    this.value = kept.value
    this.stamp = kept.stamp
    this.refreshAt = Math.floor(kept.refreshAt)
    this.deadAt = Math.floor(kept.deadAt)
    this.loadedAt = Math.floor(kept.loadedAt)
    this.bytes = bytes
  }

  /** Tells whether the value was fenced; the record then waits for the next one. */
  get isGone(): boolean {
    return this.value === GONE
  }

  /** The value as readers await it; from the second hit on the same promise for all: most values are read once. */
  answer(): Promise<unknown> {
    const known = this.#answer
    if (known) return known
    const answer = Promise.resolve(this.value)
    this.#answer = known === null ? undefined : answer
    return answer
  }

  /** Takes another value; tags are the cache's. */
  take(kept: Kept, bytes: number): void {
    this.value = kept.value
    this.#answer = null
    this.stamp = kept.stamp
    this.refreshAt = Math.floor(kept.refreshAt)
    this.deadAt = Math.floor(kept.deadAt)
    this.loadedAt = Math.floor(kept.loadedAt)
    this.bytes = bytes
  }

  /** Lets go of the value. */
  drop(): void {
    this.value = GONE
    this.#answer = null
  }
}
