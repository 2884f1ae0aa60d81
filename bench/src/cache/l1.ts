import { createRandom } from '@lockstep/runtime'
import { LRUCache } from 'lru-cache'
import { bentocache, layeredLoader } from './peers.ts'
import {
  defineProducts,
  idOf,
  inTurn,
  keys,
  KEYS,
  product,
  SEED,
  TTL_MS,
  type CacheRig,
  type Contestant,
  type Product,
} from './rig.ts'

const OPERATIONS = 300_000
const ROUNDS = 9

const random = createRandom(SEED)
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
  const load = (key: string): Promise<Product> => Promise.resolve(product(idOf(key)))
  const layered = layeredLoader({ load, memory: { maxEntries: KEYS * 2 } })
  const bento = bentocache({ load, memory: { maxEntries: KEYS * 2 } })
  for (const key of keys.slice(0, KEYS)) {
    await Promise.all([entry.get(key), lru.fetch(key), layered.read(key), bento.read(key)])
  }
  const contestants: Contestant[] = [
    ['lockstep peek', sync((key) => entry.peek(key))],
    ['lru-cache get', sync((key) => lru.get(key))],
    ['lockstep get', awaited((key) => entry.get(key))],
    ['lru-cache fetch', awaited((key) => lru.fetch(key))],
    ['layered-loader get', awaited((key) => layered.read(key))],
    ['bentocache getOrSet', awaited((key) => bento.read(key))],
  ]
  return inTurn(contestants, ROUNDS)
}
