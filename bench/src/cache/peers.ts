import { BentoCache, bentostore } from 'bentocache'
import { memoryDriver } from 'bentocache/drivers/memory'
import { redisBusDriver, redisDriver } from 'bentocache/drivers/redis'
import { Redis } from 'ioredis'
import { createNotificationPair, Loader, RedisCache } from 'layered-loader'
import { TTL_MS, type Product } from './rig.ts'

/** What a peer is given: the same layers, the same loader and the same time to live as ours. */
export interface PeerOptions {
  readonly load: (key: string) => Promise<Product>
  /** Entries in memory; none where it is left out. */
  readonly memory?: { readonly maxEntries: number } | undefined
  readonly redis?: { readonly url: string; readonly prefix: string } | undefined
  /** Tells other processes of invalidations, as each peer's README has it. */
  readonly bus?: boolean | undefined
}

/** A cache library as a service uses it. */
export interface Peer {
  read(key: string): Promise<Product | null | undefined>
  /** Makes every layer forget the row, which has just been written. */
  written(key: string): Promise<unknown>
  close(): void
}

function clientsOf({ redis }: PeerOptions): { open: () => Redis; close: () => void } {
  const clients: Redis[] = []
  const open = (): Redis => {
    const client = new Redis(redis?.url ?? '')
    clients.push(client)
    return client
  }
  return { open, close: () => clients.forEach((client) => client.disconnect()) }
}

/** layered-loader: memory, Redis and its notification pair. */
export function layeredLoader(options: PeerOptions): Peer {
  const { load, memory, redis, bus } = options
  const { open, close } = clientsOf(options)
  const pair =
    bus && redis
      ? createNotificationPair<Product>({
          channel: redis.prefix,
          publisherRedis: open(),
          consumerRedis: open(),
        })
      : null
  const loader = new Loader<Product>({
    ...(memory && { inMemoryCache: { cacheType: 'lru-map', ttlInMsecs: TTL_MS, maxItems: memory.maxEntries } }),
    ...(redis && {
      asyncCache: new RedisCache<Product>(open(), { json: true, ttlInMsecs: TTL_MS, prefix: redis.prefix }),
    }),
    ...(pair && { notificationConsumer: pair.consumer, notificationPublisher: pair.publisher }),
    dataSourceGetOneFn: load,
  })
  return { read: (key) => loader.get(key), written: (key) => loader.invalidateCacheFor(key), close }
}

/** bentocache: memory (its objects shared where there is no Redis; 1.6.1 fails with both), Redis and its bus. */
export function bentocache(options: PeerOptions): Peer {
  const { load, memory, redis, bus } = options
  const { open, close } = clientsOf(options)
  const store = bentostore()
  if (memory) store.useL1Layer(memoryDriver({ maxItems: memory.maxEntries, serialize: redis !== undefined }))
  if (redis) {
    const connection = open()
    store.useL2Layer(redisDriver({ connection, prefix: redis.prefix }))
    if (bus) store.useBus(redisBusDriver({ connection: connection.options }))
  }
  const bento = new BentoCache({ default: 'store', stores: { store } })
  return {
    read: (key) => bento.getOrSet({ key, ttl: TTL_MS, factory: () => load(key) }),
    written: (key) => bento.delete({ key }),
    close: () => {
      // Its bus has a connection of its own.
      void bento.disconnectAll()
      close()
    },
  }
}
