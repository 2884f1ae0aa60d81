import { createRandom } from '@lockstep/runtime'
import { Redis } from 'ioredis'
import { bentocache, layeredLoader } from './peers.ts'
import {
  defineProducts,
  idOf,
  inTurn,
  keys,
  KEYS,
  product,
  SEED,
  type CacheRig,
  type Contestant,
  type Product,
} from './rig.ts'

const OPERATIONS = 40_000
const CONCURRENCY = 64
const ROUNDS = 5

/** Operations per second of 64 readers, each waiting for its answer before it asks again. */
function readers(read: (key: string) => Promise<Product | null | undefined>): () => Promise<number> {
  return async () => {
    const random = createRandom(SEED)
    let left = OPERATIONS
    const begun = performance.now()
    const reader = async (): Promise<void> => {
      while (left-- > 0) {
        const id = Math.floor(random() * KEYS)
        if ((await read(keys[id] ?? ''))?.id !== id) throw new Error('a contestant answered a wrong value')
      }
    }
    await Promise.all(Array.from({ length: CONCURRENCY }, reader))
    return (OPERATIONS / (performance.now() - begun)) * 1_000
  }
}

/** Reads from Redis with no memory in front: ops/s, 300-byte JSON parsed by every contestant, in turn. */
export async function measureL2(rig: CacheRig): Promise<Map<string, number[]>> {
  const load = (key: string): Promise<Product> => Promise.resolve(product(idOf(key)))
  const entry = defineProducts(await rig.cache({ l1: { maxBytes: 1 }, maxConcurrentLoads: 1_000 }), load)
  const plain = new Redis(rig.url)
  const pipelined = new Redis(rig.url, { enableAutoPipelining: true })
  const layered = layeredLoader({ load, redis: { url: rig.url, prefix: 'layered' } })
  const bento = bentocache({ load, redis: { url: rig.url, prefix: 'bento' } })
  for (let from = 0; from < KEYS; from += 100) {
    await Promise.all(
      keys.slice(from, Math.min(from + 100, KEYS)).map(async (key) => {
        await Promise.all([entry.get(key), layered.read(key), bento.read(key)])
        await plain.set(`raw:${key}`, JSON.stringify(product(idOf(key))))
      }),
    )
  }
  const parsed = async (client: Redis, key: string) => JSON.parse((await client.get(`raw:${key}`)) ?? 'null') as Product
  const contestants: Contestant[] = [
    ['lockstep', readers((key) => entry.get(key))],
    ['ioredis auto-pipelining', readers((key) => parsed(pipelined, key))],
    ['ioredis', readers((key) => parsed(plain, key))],
    ['layered-loader', readers((key) => layered.read(key))],
    ['bentocache', readers((key) => bento.read(key))],
  ]
  try {
    return await inTurn(contestants, ROUNDS)
  } finally {
    for (const client of [plain, pipelined]) client.disconnect()
    for (const peer of [layered, bento]) peer.close()
  }
}
