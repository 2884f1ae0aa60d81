import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { createCache } from '../cache.ts'
import { createMemoryServer } from '../memory/server.ts'
import { createMemoryStore } from '../memory/store.ts'
import type { CacheStore } from '../store.ts'
import { createFenceWriter } from './fence-writer.ts'
import { createRedisStore } from './store.ts'

let redis: Redis
beforeAll(() => {
  redis = new Redis(inject('redisUrl'))
})
afterAll(() => redis.disconnect())

const STORES: Readonly<Record<string, (namespace: string) => CacheStore>> = {
  Redis: (namespace) => createRedisStore({ redis: { url: inject('redisUrl') }, namespace, commandTimeoutMs: 2_000 }),
  memory: () => createMemoryStore(createMemoryServer()),
}

describe.each(Object.keys(STORES))('cache/sequencer on %s', (kind) => {
  async function open(namespace = `s-${randomUUID()}`): Promise<CacheStore> {
    const store = STORES[kind]?.(namespace)
    if (!store) throw new Error('no such store')
    await store.connect()
    return store
  }

  test('stamps are drawn in order, and what is published stands on the bus behind what was before', async () => {
    const store = await open()
    const { sequencer, bus } = store
    await sequencer.beat(1_000)
    const begun = await bus.attach()
    const first = await sequencer.draw()
    const second = await sequencer.draw()
    expect(first < second).toBe(true)
    expect(begun !== null && begun.start < first).toBe(true)
    expect(
      await sequencer.publish(second, [
        ['product:1', second, 0],
        ['category:*', second, 0],
      ]),
    ).toBe(true)
    const [entry] = await bus.read(begun?.id ?? '', 100)
    expect(entry).toMatchObject({ predecessor: begun?.nonce, watermark: second })
    expect(entry?.fences).toEqual([
      ['product:1', second, 0],
      ['category:*', second, 0],
    ])
    const now = await bus.attach()
    expect([now?.start, now?.classes.get('category'), now?.id]).toEqual([second, second, entry?.id])
    await store.close()
  })

  test('beats are as frequent as asked for, however many processes send them', async () => {
    const store = await open()
    for (let n = 0; n < 10; n++) await store.sequencer.beat(60_000)
    const first = await store.bus.attach()
    await store.sequencer.beat(60_000)
    expect((await store.bus.attach())?.id).toBe(first?.id)
    await store.sequencer.beat(0)
    expect((await store.bus.attach())?.id).not.toBe(first?.id)
    await store.close()
  })
})

describe('cache/sequencer on Redis alone', () => {
  test('a sequence that was begun anew refuses what was drawn before', async () => {
    const namespace = `s-${randomUUID()}`
    const store = STORES['Redis']?.(namespace)
    await store?.connect()
    const stamp = await store?.sequencer.draw()
    await redis.hset(`{${namespace}}:w`, 'g', 1)
    expect(stamp && (await store?.sequencer.publish(stamp, []))).toBe(false)
    await store?.close()
  })

  test("a pipeline's namespace is refused", async () => {
    const namespace = `s-${randomUUID()}`
    await createFenceWriter({ redis, namespace }).open({ generation: 1, partition: 0, next: 1n, partitions: 1 })
    const store = STORES['Redis']?.(namespace)
    await store?.connect()
    await expect(store?.sequencer.draw()).rejects.toThrow(/set coherence to log/)
    await expect(store?.sequencer.beat(0)).rejects.toThrow(/set coherence to log/)
    await store?.close()
  })

  test('two processes without a pipeline: values shared, invalidations heard', async () => {
    const namespace = `s-${randomUUID()}`
    let version = 1
    const open = async () => {
      const cache = createCache({ redis: { url: inject('redisUrl') }, namespace, coherence: 'explicit' })
      const load = () => Promise.resolve({ version })
      const entry = cache.define<string, { version: number }>('x', {
        key: (id) => `x:${id}`,
        load,
        tags: () => ['all'],
        ttlMs: 60_000,
      })
      await cache.start()
      return { cache, entry }
    }
    const [a, b] = [await open(), await open()]
    await a.entry.read('1')
    expect(await b.entry.read('1')).toMatchObject({ layer: 'l2' })
    const heard = new Promise((resolve) => b.cache.onInvalidated(resolve))
    version = 2
    await a.cache.invalidate(['all'])
    await heard
    expect([await a.entry.get('1'), await b.entry.get('1')]).toEqual([{ version: 2 }, { version: 2 }])
    await Promise.all([a.cache.stop(), b.cache.stop()])
  })
})
