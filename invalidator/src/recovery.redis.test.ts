import { randomUUID } from 'node:crypto'
import { startRedis } from '@lockstep/servers'
import type { RedisServer } from '@lockstep/servers'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { NO_BUS_ENTRY } from './purge-ledger.ts'
import { RedisRig } from './testing/redis-rig.ts'
import { flush, productChange, stampAt, watermark } from './testing/rig.ts'

// A server of its own: these tests empty it, kill it and bring it back with an older memory.
let server: RedisServer
let rig: RedisRig
beforeAll(async () => {
  server = await startRedis({ needs: 'process' })
})
afterAll(() => server.stop())
beforeEach(async () => {
  rig = await RedisRig.create(server.url, `inv-${randomUUID()}`)
})
afterEach(() => rig.stop())

describe('invalidator on a real Redis', () => {
  test('a change raises its fence, evicts the older value, moves w and the bus, and is purged behind the entry', async () => {
    await rig.start()
    await rig.send(flush(1))
    await rig.until(async () => (await rig.field('p:0')) === '1')
    await rig.redis.set(rig.keys.value('product:1'), `${stampAt(1, 4)}{}\nold`)
    await rig.send(productChange(1, stampAt(1, 5)), watermark(stampAt(1, 6), '7'))
    await rig.until(() => rig.purges.length === 2)
    expect(await rig.fence('product:1')).toBe(stampAt(1, 5))
    expect(await rig.redis.exists(rig.keys.value('product:1'))).toBe(0)
    expect(await rig.field('p:0')).toBe('3')
    expect(await rig.field('id')).toBe(rig.purges[0]?.busId)
  })

  test('FLUSHALL in mid-stream leads to a new generation, and everything goes on', async () => {
    await rig.start()
    await rig.send(flush(1), productChange(1, stampAt(1, 5)))
    await rig.until(() => rig.purges.length === 2)
    await rig.redis.flushall()
    await rig.send(productChange(1, stampAt(1, 6)))
    await rig.until(() => rig.requests.length === 1)
    expect(rig.requests[0]).toMatchObject({ above: 1, reason: 'redis-emptied', edge: false })
    expect(await rig.redis.exists(rig.keys.watermark)).toBe(0)
    await rig.until(() => rig.purges.some(({ busId }) => busId === NO_BUS_ENTRY))
    await rig.send(flush(2), productChange(1, stampAt(2, 7)))
    await rig.until(async () => (await rig.fence('product:1')) === stampAt(2, 7))
    expect(await rig.field('g')).toBe('2')
  })

  test('a Redis that comes back with an older memory is brought up to date from the log', async () => {
    await rig.keepRecords()
    const service = await rig.start()
    await rig.send(flush(1), productChange(1, stampAt(1, 5)))
    await rig.until(async () => (await rig.field('p:0')) === '2')
    await rig.redis.save()
    for (let xmax = 6; xmax < 20; xmax++) await rig.send(productChange(xmax, stampAt(1, xmax)))
    await rig.until(async () => (await rig.field('p:0')) === '16')
    await server.kill9()
    await rig.send(productChange(1, stampAt(1, 30)))
    await server.restart()
    await rig.until(async () => (await rig.field('p:0')) === '17')
    for (let xmax = 6; xmax < 20; xmax++) expect(await rig.fence(`product:${xmax}`)).toBe(stampAt(1, xmax))
    expect(await rig.fence('product:1')).toBe(stampAt(1, 30))
    expect(rig.requests).toEqual([])
    expect(service.status().partitions[0]?.position).toBe('17')
  })

  test('a full Redis that refuses to grow still takes invalidations', async () => {
    await rig.start()
    await rig.send(flush(1))
    await rig.until(async () => (await rig.field('p:0')) === '1')
    await rig.redis.config('SET', 'maxmemory', '1')
    try {
      await expect(rig.redis.set('inv-filler', 'x')).rejects.toThrow('OOM')
      await rig.send(productChange(1, stampAt(1, 5)))
      await rig.until(async () => (await rig.fence('product:1')) === stampAt(1, 5))
    } finally {
      await rig.redis.config('SET', 'maxmemory', '0')
    }
  })

  test('a Redis that hangs is waited for and nothing is skipped', async () => {
    await rig.start({ redisTimeoutMs: 100 })
    await rig.send(flush(1))
    await rig.until(async () => (await rig.field('p:0')) === '1')
    await rig.redis.client('PAUSE', 400, 'ALL')
    await rig.send(productChange(1, stampAt(1, 5)), productChange(2, stampAt(1, 6)))
    await rig.until(async () => (await rig.field('p:0')) === '3')
    expect(await rig.fence('product:2')).toBe(stampAt(1, 6))
    await rig.until(() => rig.purges.length >= 3)
  })

  test('the echo carries the time of Redis itself', async () => {
    await rig.start()
    await rig.until(() => rig.controls.length >= 3)
    const [seconds] = await rig.redis.time()
    const [echo] = rig.controls
    expect(echo?.kind === 'echo' && Math.abs(Number(echo.redisTimeUs) / 1e6 - Number(seconds))).toBeLessThan(20)
  })

  test('a backlog is worked off in batches', async () => {
    const changes = 20_000
    await rig.send(flush(1))
    for (let first = 0; first < changes; first += 1_000) {
      await rig.send(
        ...Array.from({ length: 1_000 }, (_, i) => productChange(first + i, stampAt(1, 5), { category: `${i % 50}` })),
      )
    }
    const begin = performance.now()
    const service = await rig.start()
    await rig.until(async () => (await rig.field('p:0')) === String(changes + 1))
    const seconds = (performance.now() - begin) / 1000
    // Redis stands there a moment before its answer has been counted.
    await rig.until(() => service.status().commitToRedis.count >= changes)
    // 2 tags per change, before coalescing; the figure belongs to the machine, the bound to the design.
    const tagsPerSecond = Math.round((2 * changes) / seconds)
    expect(service.status().commitToRedis.count).toBe(changes)
    expect(tagsPerSecond).toBeGreaterThan(4_000)
    process.stdout.write(`invalidator: ${changes} changes, ${tagsPerSecond} tags/s\n`)
  })
})
