import { redisKeys, ZERO_STAMP, type Tag } from '@lockstep/schemas'
import { startRedisCluster, startSentinels } from '@lockstep/servers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createRedisAcks } from './redis-acks.ts'
import { createRedisBudget } from './redis-budget.ts'
import { openRedis } from './redis-client.ts'
import { createRedisFences } from './redis-fences.ts'

const STAMP = `00000001${'0'.repeat(15)}7ffff`

describe.each([
  ['Sentinel', startSentinels],
  ['Cluster', startRedisCluster],
] as const)('cdn-purger/adapters/redis-client: %s', (_, start) => {
  let servers: { readonly url: string; stop(): Promise<void> }
  beforeAll(async () => {
    servers = await start()
  })
  afterAll(() => servers.stop())

  test('acknowledgements, fences and budgets are found wherever their namespace lies', async () => {
    const onError = () => undefined
    const redis = openRedis(servers.url, { commandTimeout: 1_000 })
    for (const namespace of ['a', 'b', 'c', 'd']) {
      const keys = redisKeys(namespace)
      await redis.hset(keys.acks, 'p1', JSON.stringify({ id: '5-1', at: 12 }))
      await redis.hset(keys.watermark, '*', ZERO_STAMP)
      await redis.set(keys.fence('product:1'), `${STAMP}:any`)

      const acks = createRedisAcks({ url: servers.url, namespace, commandTimeoutMs: 1_000, onError })
      const { nowMs, acks: found } = await acks.read()
      expect(found).toEqual([{ process: 'p1', busId: '5-1', atMs: 12 }])
      expect(Math.abs(nowMs - Date.now())).toBeLessThan(5_000)
      await acks.close()

      const fences = createRedisFences(servers.url, namespace, onError)
      expect(await fences.greatest(['product:1', 'product:2'] as Tag[])).toBe(STAMP)
      fences.close()

      const away: Error[] = []
      const limits = [{ unit: 'requests', perSecond: 1, burst: 3 }] as const
      const budget = createRedisBudget({
        redis: openRedis(servers.url, { commandTimeout: 1_000 }),
        key: `${namespace}:budget:test`,
        limits,
        nowMs: () => performance.now(),
        onAway: (error) => void away.push(error),
      })
      expect((await budget.take(2)).keys).toBe(2)
      expect(away).toEqual([])
      await budget.close()
    }
    redis.disconnect()
  })
})
