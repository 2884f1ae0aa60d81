import { BentoCache, bentostore } from 'bentocache'
import { memoryDriver } from 'bentocache/drivers/memory'
import { Loader } from 'layered-loader'
import { LRUCache } from 'lru-cache'
import {
  defineProducts,
  generator,
  idOf,
  inTurn,
  keys,
  KEYS,
  product,
  type CacheRig,
  type Contestant,
  type Product,
} from './rig.ts'

const OPERATIONS = 300_000
const ROUNDS = 9
const TTL_MS = 3_600_000

const random = generator()
const order: readonly string[] = Array.from({ length: OPERATIONS }, () => keys[Math.floor(random() * KEYS)] ?? '')

function sync(read: (key: string) => Product | null | undefined): () => number {
  return () => {
    let sum = 0
    const begun = process.hrtime.bigint()
    for (const key of order) sum += read(key)?.id ?? Number.NaN
    return checked(sum, begun)
  }
}

function awaited(read: (key: string) => Promise<Product | null | undefined>): () => Promise<number> {
  return async () => {
    let sum = 0
    const begun = process.hrtime.bigint()
    for (const key of order) sum += (await read(key))?.id ?? Number.NaN
    return checked(sum, begun)
  }
}

const expected = order.reduce((sum, key) => sum + idOf(key), 0)

/** ns per operation; a miss or a wrong value would have spoilt the sum. */
function checked(sum: number, begun: bigint): number {
  const elapsed = Number(process.hrtime.bigint() - begun)
  if (sum !== expected) throw new Error('a contestant answered a wrong value')
  return elapsed / OPERATIONS
}

/** ns per hit in this process' memory, 10,000 scattered keys: synchronous and awaited, in turn. */
export async function measureL1(rig: CacheRig): Promise<Map<string, number[]>> {
  const cache = await rig.cache()
  const entry = defineProducts(cache, (key) => Promise.resolve(product(idOf(key))))
  const lru = new LRUCache<string, Product>({
    max: KEYS * 2,
    ttl: TTL_MS,
    fetchMethod: (key) => Promise.resolve(product(idOf(key))),
  })
  const layered = new Loader<Product>({
    inMemoryCache: { cacheType: 'lru-map', ttlInMsecs: TTL_MS, maxItems: KEYS * 2 },
    dataSourceGetOneFn: (key) => Promise.resolve(product(idOf(key))),
  })
  const bento = new BentoCache({
    default: 'memory',
    stores: { memory: bentostore().useL1Layer(memoryDriver({ maxItems: KEYS * 2, serialize: false })) },
  })
  const factory = (key: string) => bento.getOrSet({ key, ttl: TTL_MS, factory: () => product(idOf(key)) })
  for (const key of keys.slice(0, KEYS)) {
    await Promise.all([entry.get(key), lru.fetch(key), layered.get(key), factory(key)])
  }
  const contestants: Contestant[] = [
    ['lockstep peek', sync((key) => entry.peek(key))],
    ['lru-cache get', sync((key) => lru.get(key))],
    ['lockstep get', awaited((key) => entry.get(key))],
    ['lru-cache fetch', awaited((key) => lru.fetch(key))],
    ['layered-loader get', awaited((key) => layered.get(key))],
    ['bentocache getOrSet', awaited(factory)],
  ]
  return inTurn(contestants, ROUNDS)
}
