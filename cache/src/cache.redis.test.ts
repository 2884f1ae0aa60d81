import { randomUUID } from 'node:crypto'
import { redisKeys } from '@lockstep/schemas'
import { startRedis, type RedisServer } from '@lockstep/servers'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createCache } from './cache.ts'
import { createTestPipeline, type TestPipeline } from './testing/test-pipeline.ts'
import type { Cache, CacheOptions, Entry } from './types.ts'

interface Reader {
  readonly cache: Cache
  readonly rows: Entry<string, { version: number }>
}

// A server of its own: these tests cut its connections, empty it, kill it and let it evict.
describe('cache on Redis', () => {
  let server: RedisServer
  let redis: Redis
  let pipeline: TestPipeline
  let namespace: string
  let version = 1
  const started: Cache[] = []

  beforeAll(async () => {
    server = await startRedis({ needs: 'process' })
    redis = new Redis(server.url, { retryStrategy: () => 50 })
    redis.on('error', () => undefined)
  })
  afterAll(async () => {
    redis.disconnect()
    await server.stop()
  })
  beforeEach(async () => {
    namespace = `c-${randomUUID()}`
    version = 1
    pipeline = createTestPipeline(redis, namespace, { partitions: 2 })
    await pipeline.start()
  })
  afterEach(async () => {
    await pipeline.stop()
    await Promise.all(started.splice(0).map((cache) => cache.stop()))
  })

  async function reader(options: Partial<CacheOptions> = {}): Promise<Reader> {
    const cache = createCache({ redis, namespace, maxStalenessMs: 2_000, commandTimeoutMs: 500, ...options })
    started.push(cache)
    const rows = cache.define<string, { version: number }>('product', {
      key: (id) => `product:${id}`,
      load: () => Promise.resolve({ version }),
      tags: () => ['category:7'],
      ttlMs: 60_000,
    })
    await cache.start()
    return { cache, rows }
  }
  const layerOf = async ({ rows }: Reader, id = '1') => (await rows.read(id)).layer
  const versionOf = async ({ rows }: Reader, id = '1') => (await rows.get(id))?.version
  const reached = (it: Reader, busId: string) => expect.poll(() => it.cache.stats().tailPosition).not.toBe(busId)

  test('a value is loaded once, then read from Redis by others and from memory by the same process', async () => {
    const [first, second] = [await reader(), await reader()]
    expect(await layerOf(first)).toBe('load')
    expect(await layerOf(first)).toBe('l1')
    expect(await layerOf(second)).toBe('l2')
    expect(await layerOf(second)).toBe('l1')
  })

  test('a change of the key or of a tag reaches every process', async () => {
    const readers = [await reader(), await reader()]
    for (const tags of [['product:1'], ['category:7'], ['category:*'], ['product:*'], ['*']]) {
      for (const it of readers) expect(await versionOf(it)).toBe(version)
      version += 1
      await pipeline.change(tags)
      for (const it of readers) await expect.poll(() => versionOf(it)).toBe(version)
    }
  })

  test('a connection that is cut misses nothing, because the chain is read on', async () => {
    const it = await reader()
    await versionOf(it)
    version = 2
    await redis.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await pipeline.change(['product:1'])
    await expect.poll(() => versionOf(it)).toBe(2)
    expect(it.cache.stats().flushes).toBe(0)
  })

  test('an entry that does not follow the one before flushes the memory of the process', async () => {
    const it = await reader()
    await versionOf(it)
    await pipeline.stop()
    version = 2
    // The fence is applied; the bus entry that named it is gone, and one that followed it comes.
    await pipeline.raise(['product:1'], pipeline.commit())
    await redis.xadd(redisKeys(namespace).bus, '*', 'n', 'later', 'p', 'lost', 'f', '[]', 'm', '', 'r', '')
    await expect.poll(() => it.cache.stats().flushes).toBeGreaterThan(0)
    await pipeline.start()
    await expect.poll(() => versionOf(it)).toBe(2)
  })

  test('an emptied Redis is noticed; nothing is served from it until a new generation, then all goes on', async () => {
    const it = await reader()
    await versionOf(it)
    version = 2
    await redis.flushall()
    await expect.poll(() => it.cache.freshnessAgeMs(), { timeout: 5_000 }).toBeNull()
    expect(await layerOf(it)).toBe('load')
    expect(await versionOf(it)).toBe(2)
    await pipeline.open()
    await expect.poll(() => it.cache.generation(), { timeout: 5_000 }).toBe(2)
    await expect.poll(() => layerOf(it), { timeout: 5_000 }).toBe('l1')
  })

  test(
    'a killed Redis costs loads, quick ones, and the cache goes on when it is back',
    { timeout: 30_000 },
    async () => {
      const it = await reader({ maxStalenessMs: 300, commandTimeoutMs: 100 })
      await versionOf(it)
      await server.kill9()
      await expect.poll(() => it.cache.freshnessAgeMs() ?? Infinity).toBeGreaterThan(300)
      const startedAt = performance.now()
      expect(await layerOf(it)).toBe('load')
      expect(performance.now() - startedAt).toBeLessThan(2_000)
      await server.restart()
      await expect.poll(() => redis.status, { timeout: 5_000 }).toBe('ready')
      await pipeline.open()
      await expect.poll(() => layerOf(it), { timeout: 10_000 }).toBe('l1')
    },
  )

  /** Evicts every fence, and puts back what the pipeline would: only the fences are to be lost. */
  async function evictFences(key: string): Promise<void> {
    const keys = redisKeys(namespace)
    const [w, bus] = [await redis.dumpBuffer(keys.watermark), await redis.dumpBuffer(keys.bus)]
    const lease = await redis.dumpBuffer(keys.lease(key))
    await redis.config('SET', 'maxmemory', '1')
    await redis.config('SET', 'maxmemory', '0')
    if (w && bus)
      await redis.multi().restore(keys.watermark, 0, w, 'REPLACE').restore(keys.bus, 0, bus, 'REPLACE').exec()
    if (lease) await redis.restore(keys.lease(key), 10_000, lease, 'REPLACE')
  }

  test('where Redis evicts, a fill during an eviction is not stored, or under a fence that holds no more', async () => {
    await redis.config('SET', 'maxmemory-policy', 'allkeys-lru')
    try {
      const evictingReader = async () => {
        const cache = createCache({ redis, namespace, commandTimeoutMs: 500 })
        started.push(cache)
        const evicting = cache.define<string, string>('evicting', {
          key: (id) => `evicting:${id}`,
          load: async (id) => {
            await evictFences(`evicting:${id}`)
            return 'value'
          },
          tags: (_, id) => (id === 'tagged' ? ['list:1'] : []),
          ttlMs: 60_000,
        })
        await cache.start()
        return { cache, read: (id: string) => evicting.read(id) }
      }
      const first = await evictingReader()
      await pipeline.stop()
      expect((await first.read('tagged')).stored).toBe(false)
      expect(first.cache.stats().rejected).toBe(1)
      // The own fence came with the lease; who judges by the fences misses it.
      expect(await first.read('plain')).toMatchObject({ layer: 'load', stored: true })
      await pipeline.change(['product:9'])
      await pipeline.heartbeat()
      const second = await evictingReader()
      expect((await second.read('plain')).layer).toBe('load')
    } finally {
      await redis.config('SET', 'maxmemory', '0', 'maxmemory-policy', 'noeviction')
    }
  })

  test('a process acknowledges what it applied and withdraws when it stops', async () => {
    const it = await reader({ processId: 'p1' })
    const { busId } = await pipeline.change(['product:9'])
    await reached(it, busId)
    const acks = redisKeys(namespace).acks
    const acked = async () => (JSON.parse((await redis.hget(acks, 'p1')) ?? '{}') as { id?: string }).id ?? ''
    await expect.poll(async () => (await acked()) >= busId).toBe(true)
    await it.cache.stop()
    expect(await redis.hexists(acks, 'p1')).toBe(0)
  })
})
