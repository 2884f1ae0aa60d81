import { Redis } from 'ioredis'
import { createNotificationPair, Loader, RedisCache } from 'layered-loader'
import { TTL_MS, type CacheUnderTest, type Contender, type Surroundings } from '../contender.ts'

async function open({ host, port, namespace, load }: Surroundings): Promise<CacheUnderTest> {
  const [commands, publisherRedis, consumerRedis] = [1, 2, 3].map(() => {
    const redis = new Redis({ host, port })
    redis.on('error', () => undefined)
    return redis
  }) as [Redis, Redis, Redis]
  const { publisher, consumer } = createNotificationPair<number>({
    channel: `${namespace}:bus`,
    publisherRedis,
    consumerRedis,
  })
  const loader = new Loader<number>({
    inMemoryCache: { cacheType: 'lru-map', ttlInMsecs: TTL_MS, maxItems: 10_000 },
    asyncCache: new RedisCache<number>(commands, { json: true, ttlInMsecs: TTL_MS, prefix: namespace }),
    dataSourceGetOneFn: (id: string) => load(id),
    notificationConsumer: consumer,
    notificationPublisher: publisher,
  })
  await loader.init()
  return {
    get: async (id) => (await loader.get(id)) ?? 0,
    invalidate: (ids) => loader.invalidateCacheForMany([...ids]),
    close: async () => {
      await loader.close()
      for (const redis of [commands, publisherRedis, consumerRedis]) redis.disconnect()
    },
  }
}

/** Memory, Redis and Redis notifications. Its groups are partitions of keys, not tags of values. */
export const layeredLoader: Contender = {
  name: 'layered-loader',
  hasTags: false,
  isShared: true,
  hasL1: true,
  open,
}
