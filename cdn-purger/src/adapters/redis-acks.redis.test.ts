import { randomUUID } from 'node:crypto'
import { createMemoryLog, noMetrics, silentLogger, systemTime, TOPICS } from '@lockstep/runtime'
import { waitFor } from '@lockstep/runtime/testing'
import { redisKeys } from '@lockstep/schemas'
import { startRedis } from '@lockstep/servers'
import { Redis } from 'ioredis'
import { afterAll, describe, expect, inject, test } from 'vitest'
import { createPurgerMetrics } from '../metrics.ts'
import { createPurger } from '../purger.ts'
import { commandRecord } from '../testing/commands.ts'
import { FakeEdge } from '../testing/fake-edge.ts'
import { createRedisAcks } from './redis-acks.ts'

const url = inject('redisUrl')
const redis = new Redis(url)
afterAll(() => redis.disconnect())

const acksOf = (namespace: string, redisUrl: string = url) =>
  createRedisAcks({ url: redisUrl, namespace, commandTimeoutMs: 100, onError: () => undefined })

async function acknowledge(namespace: string, process: string, id: string): Promise<void> {
  const [seconds, micros] = await redis.time()
  const at = Math.floor(Number(seconds) * 1000 + Number(micros) / 1000)
  await redis.hset(redisKeys(namespace).acks, process, JSON.stringify({ id, at }))
}

async function startPurger(namespace: string, options: { redisUrl?: string; maxStalenessMs?: number } = {}) {
  const log = createMemoryLog()
  const edge = new FakeEdge()
  const purger = createPurger({
    log,
    tiers: [[edge]],
    acks: acksOf(namespace, options.redisUrl),
    time: systemTime,
    random: Math.random,
    logger: silentLogger,
    metrics: createPurgerMetrics(noMetrics, systemTime),
    options: {
      group: 'g',
      maxStalenessMs: options.maxStalenessMs ?? 5_000,
      reboundMs: 200,
      barrierPollMs: 3,
      maxBacklogKeys: 1_000,
      drainMs: 0,
    },
  })
  await purger.start()
  const send = async (tag: string, busId: string) => log.produce(TOPICS.purges, [commandRecord({ tag, busId })])
  return { purger, edge, send }
}

describe('cdn-purger/redis-acks', () => {
  test("acknowledgements come with Redis' own time", async () => {
    const namespace = `acks-${randomUUID()}`
    await acknowledge(namespace, 'p1', '7-1')
    await redis.hset(redisKeys(namespace).acks, 'p2', 'unreadable')
    const acks = acksOf(namespace)
    const view = await acks.read()
    const first = view.acks.find((ack) => ack.process === 'p1')
    expect(first?.busId).toBe('7-1')
    expect(view.nowMs - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(0)
    expect(view.nowMs - (first?.atMs ?? 0)).toBeLessThan(5_000)
    // Nobody knows what this process has applied, so it is waited for.
    expect(view.acks.find((ack) => ack.process === 'p2')).toMatchObject({ busId: '0-0' })
    await acks.close()
  })

  test('a purge goes out within one poll of the last live acknowledgement, not before', async () => {
    const namespace = `acks-${randomUUID()}`
    await acknowledge(namespace, 'quick', '2-0')
    await acknowledge(namespace, 'slow', '1-0')
    const { purger, edge, send } = await startPurger(namespace)
    await send('product:1', '2-0')
    await waitFor(() => purger.status().backlog === 1, 2_000)
    for (let round = 0; round < 20; round++) {
      await redis.ping()
      await acknowledge(namespace, 'quick', `${3 + round}-0`)
    }
    expect(edge.requests).toHaveLength(0)
    await acknowledge(namespace, 'slow', '2-0')
    await waitFor(() => edge.requests.length === 1, 1_000)
    await purger.stop()
  })

  test('hints come for as long as the connection can be made, also where Redis was away', async () => {
    const own = await startRedis({ needs: 'process' })
    const acks = acksOf('hinted', own.url)
    let hints = 0
    acks.onHint(() => (hints += 1))
    for (const fault of [false, true]) {
      if (fault) await own.restart()
      hints = 0
      const process = new Redis(own.url)
      await waitFor(async () => {
        await process.publish(redisKeys('hinted').acks, 'p')
        return hints > 0
      }, 5_000)
      expect(hints).toBeGreaterThan(0)
      process.disconnect()
    }
    await acks.close()
    await own.stop()
  })

  test.for(['dies', 'hangs'])(
    'a Redis that %s while a purge waits delays it by maxStaleness at most',
    async (fault) => {
      const own = await startRedis({ needs: 'process' })
      const namespace = 'lone'
      const there = new Redis(own.url)
      const [seconds] = await there.time()
      await there.hset(
        redisKeys(namespace).acks,
        'p',
        JSON.stringify({ id: '1-0', at: Number(seconds) * 1000 + 60_000 }),
      )
      const { purger, edge, send } = await startPurger(namespace, { redisUrl: own.url, maxStalenessMs: 600 })
      const sentMs = performance.now()
      await send('product:1', '2-0')
      await waitFor(() => purger.status().backlog === 1, 2_000)
      if (fault === 'hangs') await there.client('PAUSE', 5_000, 'ALL')
      else await own.kill9()
      there.disconnect()
      await waitFor(() => edge.requests.length === 1, 5_000)
      expect(performance.now() - sentMs).toBeGreaterThanOrEqual(595)
      expect(performance.now() - sentMs).toBeLessThan(2_000)
      await purger.stop()
      await own.stop()
    },
  )
})
