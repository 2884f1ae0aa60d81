import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { LRUCache } from 'lru-cache'
import { breathe, defineProducts, idOf, keys, product, type CacheRig, type Product } from './rig.ts'

const ENTRIES = 100_000
const TTL_MS = 3_600_000
const BATCH = 500

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

async function used(): Promise<number> {
  for (let pass = 0; pass < 3; pass++) {
    await breathe(20)
    collect()
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** What both keep: the row as JSON reads it back. */
const parsed = (key: string): Product => JSON.parse(JSON.stringify(product(idOf(key)))) as Product

/** Bytes per entry. `read`: each was read from memory as well, often enough that a promise is kept for it. */
export interface HeapResults {
  readonly ours: number
  readonly read: number
  readonly lru: number
  readonly bare: number
}

/** Bytes per entry, value included, of 100,000 entries in this process' memory. */
export async function measureHeap(rig: CacheRig): Promise<HeapResults> {
  const before = await used()
  const values = keys.map(parsed)
  const bare = (await used()) - before
  values.length = 0
  const emptied = await used()
  const lru = new LRUCache<string, Product>({ max: ENTRIES, ttl: TTL_MS })
  for (const key of keys) lru.set(key, parsed(key))
  const withLru = await used()
  const cache = await rig.cache({ l1: { maxBytes: 2 ** 30 }, maxConcurrentLoads: BATCH })
  const entry = defineProducts(cache, (key) => Promise.resolve(product(idOf(key))))
  const beforeOurs = await used()
  for (let from = 0; from < ENTRIES; from += BATCH) {
    await Promise.all(keys.slice(from, from + BATCH).map((key) => entry.get(key)))
  }
  const withOurs = await used()
  for (let times = 0; times < 2; times++) for (const key of keys) void entry.get(key)
  const withRead = await used()
  if (lru.size !== ENTRIES || cache.stats().l1Entries !== ENTRIES) throw new Error('a contestant dropped entries')
  return {
    ours: (withOurs - beforeOurs) / ENTRIES,
    read: (withRead - beforeOurs) / ENTRIES,
    lru: (withLru - emptied) / ENTRIES,
    bare: bare / ENTRIES,
  }
}
