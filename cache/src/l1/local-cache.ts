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

/** Bookkeeping per record beside its text: the record, its promise and its places in map and index, from `bench -- cache`. */
const RECORD_OVERHEAD_BYTES = 220

/**
 * Fenced records that keep their places until their keys come back. V8 keeps the place of a deleted key until the map is built
 * anew, so a popular key that is written often would be looked for past hundreds of dead places whenever it is missing (30 % of
 * the process' time in the Zipf bench). Bounded, because most keys that are fenced are not asked for again soon, and by a share
 * of all, because the policies count them.
 */
const MOST_GONE = 1_024
const GONE_SHARE = 8
/** Of a fenced list of thousands no place in the index is kept: nothing counts them. */
const MOST_TAGS_KEPT = 8

/** Values by key within a bound of bytes and entries, and which of them a fence covers. */
export class LocalCache {
  readonly #records = new Map<string, LocalRecord>()
  /** The last that were fenced, in a ring; some have come back since, or were removed. */
  readonly #fenced: LocalRecord[] = []
  #nextFenced = 0
  /** Fenced ones among the records. */
  #gone = 0
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
    return this.#records.size - this.#gone
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Answers the record, expired or not, and counts it as used. */
  get(key: string): LocalRecord | undefined {
    const record = this.#records.get(key)
    if (record === undefined || record.isGone) return undefined
    this.#eviction.used(record)
    return record
  }

  /** Answers the record without counting it as used. */
  peek(key: string): LocalRecord | undefined {
    const record = this.#records.get(key)
    return record?.isGone ? undefined : record
  }

  /** Keeps a value unless a newer one is there. */
  set(key: string, kept: Kept): void {
    const known = this.#records.get(key)
    if (known && !known.isGone && known.stamp > kept.stamp) return
    const bytes = kept.bytes + RECORD_OVERHEAD_BYTES
    if (known) {
      if (this.#fits(known, bytes)) return this.#renew(known, kept, bytes)
      this.#remove(known)
    }
    if (bytes > this.#maxBytes) return
    while (this.#bytes + bytes > this.#maxBytes || this.size >= this.#maxEntries) {
      const victim = this.#eviction.victim()
      if (!victim) break
      this.#remove(victim)
    }
    const record = new LocalRecord(key, kept, bytes)
    record.tags = this.#index.add(key, kept.tags)
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
    if (!record || record.isGone || record.stamp >= fence) return false
    this.#bytes -= record.bytes
    this.#gone += 1
    record.drop()
    if (record.tags.length > MOST_TAGS_KEPT) {
      this.#index.remove(key, record.tags)
      record.tags = []
    }
    this.#forget(this.#fenced[this.#nextFenced])
    this.#fenced[this.#nextFenced] = record
    this.#nextFenced = (this.#nextFenced + 1) % MOST_GONE
    if (this.#gone * GONE_SHARE > this.#records.size) this.#forget(record)
    return true
  }

  /** A key that is fenced often stands in several places of the ring: it is forgotten at the first. */
  #forget(fenced: LocalRecord | undefined): void {
    if (fenced?.isGone && this.#records.get(fenced.key) === fenced) this.#remove(fenced)
  }

  /** Tells whether another value in place of the record's makes nothing else leave. */
  #fits(record: LocalRecord, bytes: number): boolean {
    const isBack = record.isGone
    if (isBack && this.size >= this.#maxEntries) return false
    return this.#bytes + bytes - (isBack ? 0 : record.bytes) <= this.#maxBytes
  }

  #renew(record: LocalRecord, kept: Kept, bytes: number): void {
    const { key, tags } = record
    if (record.isGone) this.#gone -= 1
    else this.#bytes -= record.bytes
    this.#bytes += bytes
    record.take(kept, bytes)
    if (tags.length !== kept.tags.length - 1 || !tags.every((tag, at) => tag === kept.tags[at + 1])) {
      this.#index.remove(key, tags)
      record.tags = this.#index.add(key, kept.tags)
    }
    this.#eviction.renewed(record)
  }

  clear(): void {
    for (const record of this.#records.values()) this.#eviction.removed(record)
    this.#records.clear()
    this.#fenced.length = 0
    this.#nextFenced = 0
    this.#gone = 0
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
    this.#eviction.removed(record)
    if (record.isGone) this.#gone -= 1
    else this.#bytes -= record.bytes
    // It may stay in the ring for long.
    record.drop()
    record.tags = []
  }
}
