import { describe, expect, test } from 'vitest'
import { createTestBreaker } from '../testing/test-breaker.ts'
import { Limiter } from './limiter.ts'
import { createMemoryLimits } from './memory-limits.ts'
import type { LimitPolicy, LimitStore } from './policy.ts'

const login: LimitPolicy = {
  name: 'login',
  kind: 'sliding-window',
  limit: 5,
  windowSeconds: 60,
  withoutRedis: 'refuse',
}
const read: LimitPolicy = {
  name: 'read',
  kind: 'token-bucket',
  limit: 1_000,
  windowSeconds: 10,
  withoutRedis: 'admit',
}

/** Replicas with one store, a clock that stands still, and a switch for the store. */
function setUp(policy: LimitPolicy) {
  let now = 1_000_000
  let isAway = false
  let asked = 0
  const time = { nowMs: () => now }
  const memory = createMemoryLimits(time)
  const shared: LimitStore = {
    take: (...args) => {
      asked += 1
      return isAway ? Promise.reject(new Error('away')) : memory.take(...args)
    },
  }
  const replica = () => {
    const breaker = createTestBreaker(time)
    return new Limiter({ policy, shared, local: createMemoryLimits(time), breaker, time })
  }
  return {
    replica,
    asked: () => asked,
    pass: (ms: number) => void (now += ms),
    loseStore: () => void (isAway = true),
    regainStore: () => void (isAway = false),
  }
}

async function outcomes(limiter: Limiter, count: number, client = 'anna'): Promise<Record<string, number>> {
  const verdicts = await Promise.all(Array.from({ length: count }, () => Promise.resolve(limiter.admit(client))))
  const counts: Record<string, number> = {}
  for (const { outcome } of verdicts) counts[outcome] = (counts[outcome] ?? 0) + 1
  return counts
}

describe('api/limits/limiter', () => {
  test('replicas together admit no more than the policy, however many ask at once', async () => {
    for (const policy of [login, read]) {
      const world = setUp(policy)
      const [one, other] = [world.replica(), world.replica()]
      const [first, second] = await Promise.all([outcomes(one, 2_000), outcomes(other, 2_000)])
      expect((first['admitted'] ?? 0) + (second['admitted'] ?? 0)).toBe(policy.limit)
      expect(await outcomes(one, 3)).toEqual({ limited: 3 })
    }
  })

  test('most requests ask nobody, and who was refused is refused without asking', async () => {
    const world = setUp(read)
    const limiter = world.replica()
    await outcomes(limiter, 1_000)
    // The first asks for itself, the others by batches of a hundredth.
    expect(world.asked()).toBe(101)
    await outcomes(limiter, 1)
    const before = world.asked()
    expect(await outcomes(limiter, 1_000)).toEqual({ limited: 1_000 })
    expect(world.asked()).toBe(before)
  })

  test('a client far below its limit is never refused, however many replicas it asks', async () => {
    const world = setUp(read)
    const replicas = Array.from({ length: 20 }, world.replica)
    for (let second = 0; second < 60; second++) {
      for (const replica of replicas) expect(await outcomes(replica, 1)).toEqual({ admitted: 1 })
      world.pass(1_000)
    }
  })

  test('a steady client asks four times a second, however much it sends', async () => {
    const world = setUp({ ...read, limit: 1_000_000 })
    const limiter = world.replica()
    const seconds = 10
    for (let ms = 0; ms < seconds * 1_000; ms++) {
      expect(await outcomes(limiter, 5)).toEqual({ admitted: 5 })
      world.pass(1)
    }
    // And some more while it learns the rate.
    expect(world.asked()).toBeLessThan(seconds * 4 + 10)
  })

  test('the time that a refusal names is enough, and less is not', async () => {
    for (const policy of [login, read]) {
      const world = setUp(policy)
      const limiter = world.replica()
      await outcomes(limiter, policy.limit)
      const verdict = await limiter.admit('anna')
      if (verdict.outcome !== 'limited') throw new Error(`${policy.name} was ${verdict.outcome}`)
      world.pass(verdict.waitMs - 2)
      expect(await outcomes(limiter, 1)).toEqual({ limited: 1 })
      world.pass(2)
      expect(await outcomes(limiter, 1)).toEqual({ admitted: 1 })
    }
  })

  test('a window that slides gives no second helping at its edge', async () => {
    const world = setUp(login)
    const limiter = world.replica()
    // 1,000,000 ms are 40 s into a window of 60 s.
    await outcomes(limiter, 5)
    world.pass(21_000)
    expect((await outcomes(limiter, 5))['admitted'] ?? 0).toBe(0)
    world.pass(120_000)
    expect(await outcomes(limiter, 5)).toEqual({ admitted: 5 })
  })

  test('one client does not pay for another', async () => {
    const limiter = setUp(login).replica()
    await outcomes(limiter, 9, 'anna')
    expect(await outcomes(limiter, 5, 'berta')).toEqual({ admitted: 5 })
  })

  test('without Redis reads are admitted within the policy by each replica, and logins are not', async () => {
    const open = setUp(read)
    open.loseStore()
    expect(await outcomes(open.replica(), 1_500)).toEqual({ admitted: 1_000, limited: 500 })
    const closed = setUp(login)
    closed.loseStore()
    const limiter = closed.replica()
    expect(await outcomes(limiter, 10)).toEqual({ unavailable: 10 })
    closed.regainStore()
    closed.pass(1_000)
    expect(await outcomes(limiter, 1)).toEqual({ admitted: 1 })
  })

  test('a store that is away is asked by one request at a time', async () => {
    const world = setUp(login)
    const limiter = world.replica()
    world.loseStore()
    for (let round = 0; round < 5; round++) await outcomes(limiter, 1)
    expect(world.asked()).toBe(3)
    world.pass(1_000)
    await outcomes(limiter, 50)
    expect(world.asked()).toBe(4)
  })
})
