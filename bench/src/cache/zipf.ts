import { setImmediate as turn } from 'node:timers/promises'
import { BentoCache, bentostore } from 'bentocache'
import { memoryDriver } from 'bentocache/drivers/memory'
import { redisBusDriver, redisDriver } from 'bentocache/drivers/redis'
import { Redis } from 'ioredis'
import { createNotificationPair, Loader, RedisCache } from 'layered-loader'
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

const OPERATIONS = 200_000
const CLIENTS = 64
const WRITE_SHARE = 0.01
const THETA = 0.99
const ROUNDS = 5
const TTL_MS = 3_600_000

const shares = Array.from({ length: KEYS }, (_, rank) => 1 / (rank + 1) ** THETA)
const total = shares.reduce((sum, share) => sum + share, 0)
let running = 0
const cumulative = Float64Array.from(shares, (share) => (running += share / total))

/** Rank of a Zipf-distributed draw, most popular first. */
function zipf(draw: number): number {
  let low = 0
  let high = KEYS - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if ((cumulative[middle] ?? 1) < draw) low = middle + 1
    else high = middle
  }
  return low
}

// The draws are made before, so that they cost no contestant anything. Negative: a write.
const random = generator()
const script = Int32Array.from({ length: OPERATIONS }, () => {
  const rank = zipf(random())
  return random() < WRITE_SHARE ? -1 - rank : rank
})

interface Service {
  read(key: string): Promise<Product | null | undefined>
  /** Makes every layer forget the row, which has just been written. */
  written(key: string): Promise<unknown>
}

/** Ops/s of 64 clients over their own database of versions; a read older than the version at its begin is counted. */
function measured(create: (load: (key: string) => Promise<Product>) => Service, stale: { reads: number }) {
  const versions = new Int32Array(KEYS)
  // A driver answers in a later turn, never in this one.
  const load = async (key: string): Promise<Product> => {
    await turn()
    return product(idOf(key), versions[idOf(key)])
  }
  const service = create(load)
  return async (): Promise<number> => {
    let next = 0
    const begun = performance.now()
    const client = async (): Promise<void> => {
      for (let at = next++; at < OPERATIONS; at = next++) {
        const step = script[at] ?? 0
        if (step >= 0) {
          const least = (versions[step] ?? 0) + 1_000
          const value = await service.read(keys[step] ?? '')
          if ((value?.priceCents ?? 0) < least) stale.reads += 1
        } else {
          versions[-1 - step] = (versions[-1 - step] ?? 0) + 1
          await service.written(keys[-1 - step] ?? '')
        }
      }
    }
    await Promise.all(Array.from({ length: CLIENTS }, client))
    return (OPERATIONS / (performance.now() - begun)) * 1_000
  }
}

/** Zipf 0.99, 1 % writes, 64 clients, L1 and Redis: ops/s in turn. `maxEntries` bounds the memory of every contestant. */
export async function measureZipf(rig: CacheRig, maxEntries: number): Promise<Map<string, number[]>> {
  const cache = await rig.cache({ l1: { maxEntries }, maxConcurrentLoads: 1_000 })
  const clients = [new Redis(rig.url), new Redis(rig.url), new Redis(rig.url)] as const
  const stale = { ours: { reads: 0 }, layered: { reads: 0 }, bento: { reads: 0 } }
  const ours = measured((load) => {
    const entry = defineProducts(cache, load)
    return {
      read: (key) => entry.get(key),
      written: (key) => entry.invalidate(key, rig.pipeline.commit()),
    }
  }, stale.ours)
  const layered = measured((load) => {
    const { publisher, consumer } = createNotificationPair<Product>({
      channel: `layered-${maxEntries}`,
      publisherRedis: clients[0],
      consumerRedis: clients[1],
    })
    const loader = new Loader<Product>({
      inMemoryCache: { cacheType: 'lru-map', ttlInMsecs: TTL_MS, maxItems: maxEntries },
      asyncCache: new RedisCache<Product>(clients[2], {
        json: true,
        ttlInMsecs: TTL_MS,
        prefix: `layered-${maxEntries}`,
      }),
      dataSourceGetOneFn: load,
      notificationConsumer: consumer,
      notificationPublisher: publisher,
    })
    return { read: (key) => loader.get(key), written: (key) => loader.invalidateCacheFor(key) }
  }, stale.layered)
  const bentoService = measured((load) => {
    const bento = new BentoCache({
      default: 'tiered',
      stores: {
        tiered: bentostore()
          .useL1Layer(memoryDriver({ maxItems: maxEntries }))
          .useL2Layer(redisDriver({ connection: clients[2], prefix: `bento-${maxEntries}` }))
          .useBus(redisBusDriver({ connection: clients[2].options })),
      },
    })
    return {
      read: (key) => bento.getOrSet({ key, ttl: TTL_MS, factory: () => load(key) }),
      written: (key) => bento.delete({ key }),
    }
  }, stale.bento)
  const contestants: Contestant[] = [
    ['lockstep', ours],
    ['layered-loader', layered],
    ['bentocache', bentoService],
  ]
  try {
    const results = await inTurn(contestants, ROUNDS)
    for (const [name, { reads }] of Object.entries(stale)) results.set(`${name} stale`, [reads])
    return results
  } finally {
    for (const client of clients) client.disconnect()
  }
}
