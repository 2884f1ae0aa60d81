import { BentoCache, bentostore } from 'bentocache'
import { memoryDriver } from 'bentocache/drivers/memory'
import { redisBusDriver, redisDriver } from 'bentocache/drivers/redis'
import { TTL_MS, type CacheUnderTest, type Contender, type Surroundings } from '../contender.ts'

async function open({ host, port, namespace, load, tagsOf }: Surroundings): Promise<CacheUnderTest> {
  const connection = { host, port }
  const store = bentostore()
    .useL1Layer(memoryDriver({ maxItems: 10_000 }))
    .useL2Layer(redisDriver({ connection }))
    .useBus(redisBusDriver({ connection }))
  const bento = new BentoCache({ default: 'rows', prefix: namespace, ttl: TTL_MS, stores: { rows: store } })
  // It listens to the bus from its first use on.
  await bento.set({ key: 'warm-up', value: 0 })
  return {
    get: (id) => bento.getOrSet({ key: id, factory: () => load(id), tags: [...tagsOf(id)] }),
    invalidate: async (ids) => void (await bento.deleteMany({ keys: [...ids] })),
    invalidateTag: async (tag) => void (await bento.deleteByTag({ tags: [tag] })),
    close: () => bento.disconnectAll(),
  }
}

/** Two levels with the Redis bus, as its guide to multi-tier caching sets it up. */
export const bentocache: Contender = {
  name: 'bentocache',
  hasTags: true,
  isShared: true,
  hasL1: true,
  open,
}
