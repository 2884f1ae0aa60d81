import type { Stamp } from '@lockstep/schemas'
import type { LocalOptions } from '../types.ts'
import { LocalCache } from './local-cache.ts'
import type { LocalRecord } from './record.ts'

const DEFAULT_MAX_BYTES = 64 * 1024 * 1024

function create({ maxBytes = DEFAULT_MAX_BYTES, maxEntries, policy }: LocalOptions): LocalCache {
  return new LocalCache({ maxBytes, maxEntries, policy })
}

/** All memories of this process: the shared one, and those of entries that have one of their own. */
export class LocalLayer {
  readonly shared: LocalCache
  readonly #all: LocalCache[]

  constructor(options: LocalOptions = {}) {
    this.shared = create(options)
    this.#all = [this.shared]
  }

  get size(): number {
    return this.#all.reduce((sum, { size }) => sum + size, 0)
  }

  get bytes(): number {
    return this.#all.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** Adds a memory that fences reach like the shared one. */
  add(options: LocalOptions): LocalCache {
    const cache = create(options)
    this.#all.push(cache)
    return cache
  }

  /** Removes what a fence covers, everywhere; answers how many values. */
  evict(tag: string, fence: Stamp): number {
    let evicted = 0
    for (const cache of this.#all) evicted += cache.evict(tag, fence)
    return evicted
  }

  /** Finds a record in whichever memory has it. */
  peek(key: string): LocalRecord | undefined {
    return this.#all.find((cache) => cache.peek(key) !== undefined)?.peek(key)
  }

  clear(): void {
    for (const cache of this.#all) cache.clear()
  }
}
