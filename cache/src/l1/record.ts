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

/**
 * A value in this process' memory; also a node of the list in which records leave. Whatever is here agreed with the mirror
 * when it came and with every fence since. Times are whole ms, so that V8 keeps them within the record.
 */
export class LocalRecord {
  // What a hit looks at stands first, so that it lies together in memory.
  readonly value: unknown
  refreshAt: number
  /** What the policy notes: a turn of the list, or a count of uses. */
  mark = 0
  readonly stamp: Stamp
  readonly key: string
  /** Tags besides the key itself. */
  tags: readonly string[] = NO_TAGS
  readonly deadAt: number
  readonly loadedAt: number
  readonly bytes: number
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
}
