import { classOf, EVERYTHING, type Stamp, type Tag } from '@lockstep/schemas'
import { isCoarse } from '../advance-plan.ts'
import { evictionOf, type Eviction, type EvictionPolicy } from './eviction.ts'
import { LocalRecord, type Kept } from './record.ts'
import { TagIndex } from './tag-index.ts'

/** Size of one memory and who leaves when it is full. */
export interface LocalCacheOptions {
  readonly maxBytes: number
  readonly maxEntries?: number | undefined
  readonly policy?: EvictionPolicy | undefined
}

/** Bookkeeping per record beside its text: the record and its places in map and index, from a heap snapshot. */
const RECORD_OVERHEAD_BYTES = 200

/**
 * Fenced keys whose places are kept until they come back. V8 keeps the place of a deleted key until the map is built anew, so
 * a popular key that is written often would be looked for past hundreds of dead places whenever it is missing (30 % of the
 * process' time in the Zipf bench). Bounded, because most keys that are fenced are not asked for again soon.
 */
const MOST_GONE = 1_024
/** Of a fenced list of thousands no place is kept: nothing counts them. */
const MOST_TAGS_KEPT = 8

/** Values by key within a bound of bytes and entries, and which of them a fence covers. */
export class LocalCache {
  readonly #records = new Map<string, LocalRecord | undefined>()
  /** Keys that were fenced and have not come back, longest ago first, with the tags whose places in the index they keep. */
  readonly #gone = new Map<string, readonly string[]>()
  readonly #index = new TagIndex()
  readonly #eviction: Eviction
  readonly #maxBytes: number
  readonly #maxEntries: number
  #bytes = 0

  constructor(options: LocalCacheOptions) {
    this.#maxBytes = options.maxBytes
    this.#maxEntries = options.maxEntries ?? Number.POSITIVE_INFINITY
    this.#eviction = evictionOf(options.policy ?? 'lru')
  }

  get size(): number {
    return this.#records.size - this.#gone.size
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Answers the record, expired or not, and counts it as used. */
  get(key: string): LocalRecord | undefined {
    const record = this.#records.get(key)
    if (record !== undefined) this.#eviction.used(record)
    return record
  }

  /** Answers the record without counting it as used. */
  peek(key: string): LocalRecord | undefined {
    return this.#records.get(key)
  }

  /** Keeps a value unless a newer one is there. */
  set(key: string, kept: Kept): void {
    const known = this.#records.get(key)
    if (known && known.stamp > kept.stamp) return
    if (known) this.#remove(known)
    const bytes = kept.bytes + RECORD_OVERHEAD_BYTES
    if (bytes > this.#maxBytes) return
    while (this.#bytes + bytes > this.#maxBytes || this.size >= this.#maxEntries) {
      const victim = this.#eviction.victim()
      if (!victim) break
      this.#remove(victim)
    }
    const record = new LocalRecord(key, kept, bytes)
    record.tags = this.#place(key, kept.tags)
    this.#records.set(key, record)
    this.#bytes += bytes
    this.#eviction.added(record)
  }

  /** Removes what a fence covers: records with an older stamp. Answers how many. */
  evict(tag: string, fence: Stamp): number {
    // Most fences are of one value's own tag.
    if (!isCoarse(tag) && !this.#index.has(tag)) return this.#evictOne(tag, fence) ? 1 : 0
    let evicted = 0
    // Copied, because deleting changes what is walked.
    for (const key of Array.from(this.#covered(tag))) if (this.#evictOne(key, fence)) evicted += 1
    return evicted
  }

  #evictOne(key: string, fence: Stamp): boolean {
    const record = this.#records.get(key)
    if (!record || record.stamp >= fence) return false
    this.#drop(record)
    this.#records.set(key, undefined)
    const isSmall = record.tags.length <= MOST_TAGS_KEPT
    if (!isSmall) this.#index.remove(key, record.tags)
    this.#gone.set(key, isSmall ? record.tags : [])
    if (this.#gone.size > MOST_GONE) this.#forgetLongestGone()
    return true
  }

  /** Notes the tags of a key, its own first; one that comes back with the tags that it had still has its places. */
  #place(key: string, tags: readonly string[]): readonly string[] {
    const had = this.#gone.get(key)
    if (had === undefined) return this.#index.add(key, tags)
    this.#gone.delete(key)
    if (had.length === tags.length - 1 && had.every((tag, at) => tag === tags[at + 1])) return had
    this.#index.remove(key, had)
    return this.#index.add(key, tags)
  }

  #forgetLongestGone(): void {
    // Not by an iterator that stays, as in `Mirror`: one that does not move keeps every table alive that the map has left.
    const [[key, tags] = ['', []]] = this.#gone
    this.#gone.delete(key)
    this.#records.delete(key)
    this.#index.remove(key, tags)
  }

  clear(): void {
    for (const record of this.#records.values()) if (record) this.#eviction.removed(record)
    this.#records.clear()
    this.#gone.clear()
    this.#index.clear()
    this.#bytes = 0
  }

  /** Keys that depend on the tag: their own one is no entry of the index. */
  *#covered(tag: string): Iterable<string> {
    if (tag === EVERYTHING) return yield* this.#records.keys()
    if (!isCoarse(tag)) {
      yield tag
      return yield* this.#index.keys(tag)
    }
    const tagClass = classOf(tag as Tag)
    for (const key of this.#records.keys()) if (classOf(key as Tag) === tagClass) yield key
    return yield* this.#index.keysOfClass(tagClass)
  }

  #remove(record: LocalRecord): void {
    this.#records.delete(record.key)
    this.#index.remove(record.key, record.tags)
    this.#drop(record)
  }

  #drop(record: LocalRecord): void {
    this.#eviction.removed(record)
    this.#bytes -= record.bytes
  }
}
