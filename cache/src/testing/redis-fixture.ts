import { redisKeys } from '@lockstep/schemas'
import { createFenceWriter } from '../redis/fence-writer.ts'
import { openRedis } from '../redis/connection.ts'
import { createRedisStore } from '../redis/store.ts'
import type { StoreFixture } from './store-contract.ts'

/** A store on a Redis, with what its contract needs to look behind it. */
export async function createRedisFixture(url: string, namespace: string): Promise<StoreFixture> {
  const keys = redisKeys(namespace)
  const redis = openRedis(url, namespace)
  const store = createRedisStore({ redis: { url }, namespace, commandTimeoutMs: 2_000 })
  await store.connect()
  // The policy is learned on attaching.
  await store.bus.attach()
  return {
    store,
    writer: createFenceWriter({ redis, namespace }),
    life: (kind, name) => redis.pttl(kind === 'fence' ? keys.fence(name) : keys.lease(name)),
    ack: (processId) => redis.hget(keys.acks, processId),
    setFull: async (isFull) => {
      await redis.config('SET', 'maxmemory', isFull ? '1' : '0')
    },
    close: async () => {
      redis.disconnect()
      await store.close()
    },
  }
}
