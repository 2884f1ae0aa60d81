import { classOf, EVERYTHING, type Stamp, type Tag } from '@lockstep/schemas'
import { LRUCache } from 'lru-cache'
import { isCoarse } from '../advance-plan.ts'
import type { Dependencies } from '../dependencies.ts'

/** A value in this process' memory. Whatever is here agreed with the mirror when it came and with every fence since. */
export interface LocalRecord {
  readonly value: unknown
  readonly stamp: Stamp
  readonly tags: readonly string[]
  readonly dependencies: Dependencies
  /** Monotonic ms. */
  readonly expiresAt: number
  /** Monotonic ms at which the value was loaded, as far as known. */
  readonly loadedAt: number
  readonly bytes: number
}

/** Size of L1. */
export interface LocalCacheOptions {
  readonly maxBytes: number
  readonly maxEntries?: number | undefined
}

/** Bookkeeping per record beside its text: the record, two index entries and the list node, from a heap snapshot. */
const RECORD_OVERHEAD_BYTES = 400

/** Values by key, least recently used first out, with an index from tags and classes to keys. */
export class LocalCache {
  readonly #records: LRUCache<string, LocalRecord>
  readonly #index = new Map<string, Set<string>>()
  readonly #maxBytes: number

  constructor(options: LocalCacheOptions) {
    this.#maxBytes = options.maxBytes
    this.#records = new LRUCache<string, LocalRecord>({
      maxSize: options.maxBytes,
      ...(options.maxEntries === undefined ? {} : { max: options.maxEntries }),
      dispose: (record, key) => this.#unindex(key, record),
    })
  }

  get size(): number {
    return this.#records.size
  }

  get bytes(): number {
    return this.#records.calculatedSize
  }

  /** Answers the record, expired or not, and counts it as used. */
  get(key: string): LocalRecord | undefined {
    return this.#records.get(key)
  }

  /** Answers the record without counting it as used. */
  peek(key: string): LocalRecord | undefined {
    return this.#records.peek(key)
  }

  /** Keeps a record unless a newer one is there. */
  set(key: string, record: LocalRecord): void {
    const size = record.bytes + RECORD_OVERHEAD_BYTES
    const known = this.#records.peek(key)
    if (known && known.stamp > record.stamp) return
    if (size > this.#maxBytes) {
      this.#records.delete(key)
      return
    }
    this.#records.set(key, record, { size })
    for (const name of indexNames(record.dependencies)) {
      const keys = this.#index.get(name)
      if (keys) keys.add(key)
      else this.#index.set(name, new Set([key]))
    }
  }

  /** Removes what a fence covers: records with an older stamp. Answers how many. */
  evict(tag: string, fence: Stamp): number {
    // Copied, because deleting changes what is walked.
    const keys = Array.from((tag === EVERYTHING ? this.#records.keys() : this.#index.get(indexNameOf(tag))) ?? [])
    let evicted = 0
    for (const key of keys) {
      const record = this.#records.peek(key)
      if (record && record.stamp < fence && this.#records.delete(key)) evicted += 1
    }
    return evicted
  }

  clear(): void {
    this.#records.clear()
    this.#index.clear()
  }

  #unindex(key: string, record: LocalRecord): void {
    for (const name of indexNames(record.dependencies)) {
      const keys = this.#index.get(name)
      if (keys?.delete(key) && keys.size === 0) this.#index.delete(name)
    }
  }
}

// A class shares the map with the tags under the name of its class tag.
function indexNames(dependencies: Dependencies): string[] {
  return [...dependencies.plain, ...dependencies.classes.map((tagClass) => `${tagClass}:*`)]
}

function indexNameOf(tag: string): string {
  return isCoarse(tag) ? `${classOf(tag as Tag)}:*` : tag
}
