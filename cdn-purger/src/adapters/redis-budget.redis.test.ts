import { randomUUID } from 'node:crypto'
import { startRedis } from '@lockstep/servers'
import { Redis } from 'ioredis'
import { describe, expect, inject, test } from 'vitest'
import type { RateLimit } from '../ports.ts'
import { registerBudgetContract } from '../testing/budget-contract.ts'
import { createRedisBudget } from './redis-budget.ts'

const url = inject('redisUrl')
const nowMs = () => performance.now()
const onAway = (error: Error) => {
  throw error
}

registerBudgetContract('a budget in Redis', (limits) => {
  const key = `budget-${randomUUID()}`
  const [first, second] = [1, 2].map(() => createRedisBudget({ redis: new Redis(url), key, limits, nowMs, onAway }))
  if (!first || !second) throw new Error('unreachable')
  const close = async () => {
    await Promise.all([first.close(), second.close()])
  }
  return Promise.resolve({ first, second, close })
})

describe('cdn-purger/redis-budget', () => {
  test('buckets that are full again leave nothing behind in Redis', async () => {
    const redis = new Redis(url)
    const key = `budget-${randomUUID()}`
    const limits: RateLimit[] = [{ unit: 'requests', perSecond: 100, burst: 10 }]
    const budget = createRedisBudget({ redis, key, limits, nowMs, onAway })
    await budget.take(1)
    expect(await redis.pttl(key)).toBeGreaterThan(0)
    expect(await redis.pttl(key)).toBeLessThanOrEqual(2_100)
    await budget.close()
  })

  test('while Redis is away the buckets of the process stand in', async () => {
    const own = await startRedis({ needs: 'process' })
    const redis = new Redis(own.url, { commandTimeout: 100, maxRetriesPerRequest: 0, retryStrategy: () => 50 })
    redis.on('error', () => undefined)
    let aways = 0
    const limits: RateLimit[] = [{ unit: 'requests', perSecond: 0.01, burst: 2 }]
    const budget = createRedisBudget({ redis, key: 'b', limits, nowMs, onAway: () => (aways += 1) })
    expect((await budget.take(1)).keys).toBe(1)
    await own.kill9()
    const grants = [await budget.take(1), await budget.take(1), await budget.take(1)]
    expect(grants.map(({ keys }) => keys)).toEqual([1, 1, 0])
    expect(aways).toBe(3)
    await budget.close()
    await own.stop()
  })
})
