import { randomUUID } from 'node:crypto'
import { redisKeys } from '@lockstep/schemas'
import { startRedisCluster, type ClusterServers } from '@lockstep/servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createCache } from '../cache.ts'
import { createRedisFixture } from '../testing/redis-fixture.ts'
import { registerStoreContract } from '../testing/store-contract.ts'
import { openRedis } from './connection.ts'
import { createRedisStore } from './store.ts'

let servers: ClusterServers
beforeAll(async () => {
  servers = await startRedisCluster()
})
afterAll(() => servers.stop())

// Each on whichever master its slot lies.
registerStoreContract('Redis Cluster', () => createRedisFixture(servers.url, `t-${randomUUID()}`))

describe('cache/redis: cluster', () => {
  test('the URL of one node is enough to find the master of any namespace, and that of a plain node says what to write', async () => {
    const url = `redis+cluster://127.0.0.1:${servers.masters[1]?.port}`
    for (let index = 0; index < 6; index++) {
      const namespace = `n-${index}`
      const redis = openRedis(url, namespace)
      expect(await redis.incr(redisKeys(namespace).watermark)).toBe(1)
      redis.disconnect()
    }
    const plain = { url: `redis://127.0.0.1:${servers.masters[1]?.port}` }
    const answers = await Promise.allSettled(
      Array.from({ length: 6 }, async (_, index) => {
        const store = createRedisStore({ redis: plain, namespace: `n-${index}`, commandTimeoutMs: 2_000 })
        await store.connect()
        try {
          return await store.values.value('x')
        } finally {
          await store.close()
        }
      }),
    )
    const refused = answers.filter((answer) => answer.status === 'rejected')
    expect(refused.length).toBeGreaterThan(0)
    for (const { reason } of refused) expect(String(reason)).toMatch(/redis\+cluster:\/\//)
  })

  test('a client of a cluster is refused with what to write instead', () => {
    const client = Object.assign(new Redis({ lazyConnect: true }), { isCluster: true })
    expect(() => createCache({ redis: client })).toThrow(/redis\+cluster:\/\//)
    client.disconnect()
  })
})
