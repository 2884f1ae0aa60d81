import { randomUUID } from 'node:crypto'
import { redisKeys, type Tag } from '@lockstep/schemas'
import { startRedis, type RedisServer } from '@lockstep/servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createRedisFixture } from '../testing/redis-fixture.ts'
import { raise, registerStoreContract, stampAt, type StoreFixture } from '../testing/store-contract.ts'
import { createRedisStore } from './store.ts'

// A server of its own, because these tests fill it up and make it forget its scripts.
let server: RedisServer
let redis: Redis

beforeAll(async () => {
  server = await startRedis({ needs: 'process' })
  redis = new Redis(server.url)
})

afterAll(async () => {
  redis.disconnect()
  await server.stop()
})

const createFixture = (): Promise<StoreFixture> => createRedisFixture(server.url, `t-${randomUUID()}`)

registerStoreContract('Redis', createFixture)

const WISH = { key: 'x:1', holder: 'h', stamp: stampAt(1), leaseMs: 1_000 }

describe('cache/store on Redis', () => {
  test('a server that has forgotten the scripts is taught them again', async () => {
    const fixture = await createFixture()
    const tag = 'product:1' as Tag
    await raise(fixture, [[tag, stampAt(1), 0]])
    await redis.script('FLUSH', 'SYNC')
    await raise(fixture, [[tag, stampAt(2), 0]])
    await redis.script('FLUSH', 'SYNC')
    const { lease } = await fixture.store.fills.lease(WISH)
    expect(lease).not.toBeNull()
    expect((await fixture.store.values.fences([tag])).records[0]?.stamp).toBe(stampAt(2))
    await fixture.close()
  })

  test('an ack is published, and made also by a user who may not publish', async () => {
    const namespace = `t-${randomUUID()}`
    const { acks } = redisKeys(namespace)
    const heard: string[] = []
    const listener = redis.duplicate()
    await listener.subscribe(acks)
    listener.on('message', (_channel: string, processId: string) => heard.push(processId))
    await redis.call('ACL', 'SETUSER', 'quiet', 'on', '>quiet', '~*', 'resetchannels', '+@all')
    const { host } = new URL(server.url)
    for (const [processId, url] of [
      ['loud', server.url],
      ['quiet', `redis://quiet:quiet@${host}`],
    ] as const) {
      const store = createRedisStore({ redis: { url }, namespace, commandTimeoutMs: 2_000 })
      await store.connect()
      await store.bus.ack(processId, '5-1')
      await store.close()
    }
    expect(Object.keys(await redis.hgetall(acks)).toSorted()).toEqual(['loud', 'quiet'])
    await listener.ping()
    expect(heard).toEqual(['loud'])
    listener.disconnect()
  })

  test('where the server may evict, an eviction between lease and touch changes the mark', async () => {
    await redis.config('SET', 'maxmemory-policy', 'allkeys-lru')
    const fixture = await createFixture()
    try {
      const lease = await fixture.store.fills.lease(WISH)
      const touch = () => fixture.store.fills.touch(['x:1' as Tag], stampAt(1), 60_000)
      expect((await touch()).evictionMark).toBe(lease.evictionMark)
      await redis.set('victim', 'v')
      await redis.config('SET', 'maxmemory', '1')
      await redis.config('SET', 'maxmemory', '0')
      expect((await touch()).evictionMark).not.toBe(lease.evictionMark)
    } finally {
      await redis.config('SET', 'maxmemory', '0', 'maxmemory-policy', 'noeviction')
      await fixture.close()
    }
  })

  test('where the server may evict, another connection changes the mark: it may be of another node', async () => {
    await redis.config('SET', 'maxmemory-policy', 'allkeys-lru')
    const fixture = await createFixture()
    try {
      const request = { key: 'x:1', holder: 'h', stamp: stampAt(1), leaseMs: 1_000 }
      const lease = await fixture.store.fills.lease(request)
      await redis.client('KILL', 'TYPE', 'NORMAL', 'SKIPME', 'YES')
      const mark = () => fixture.store.fills.touch(['x:1' as Tag], stampAt(1), 60_000).then((t) => t.evictionMark)
      await expect.poll(() => mark().catch(() => lease.evictionMark)).not.toBe(lease.evictionMark)
    } finally {
      await redis.config('SET', 'maxmemory-policy', 'noeviction')
      await fixture.close()
    }
  })

  test('a command to a server that does not answer fails within its timeout and opens the breaker', async () => {
    const silent = createRedisStore({ redis: { url: 'redis://127.0.0.1:1' }, namespace: 'none', commandTimeoutMs: 100 })
    await silent.connect()
    const codes: unknown[] = []
    const startedAt = performance.now()
    for (let attempt = 0; attempt < 8; attempt++) {
      await silent.values.value('x:1').catch((error: { code?: unknown }) => codes.push(error.code))
    }
    expect(performance.now() - startedAt).toBeLessThan(3_000)
    expect(codes).toHaveLength(8)
    expect(codes.at(-1)).toBe('LOCKSTEP_CACHE_BREAKER_OPEN')
    await silent.close()
  })
})
