import { randomUUID } from 'node:crypto'
import { startRedis, type RedisServer } from '@lockstep/servers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createMemoryLimits } from '../limits/memory-limits.ts'
import type { LimitPolicy } from '../limits/policy.ts'
import { openRedisLimits, type RedisLimits } from './redis-limits.ts'

const POLICIES: readonly LimitPolicy[] = [
  { name: 'read', kind: 'token-bucket', limit: 100, windowSeconds: 3_600, withoutRedis: 'admit' },
  { name: 'login', kind: 'sliding-window', limit: 7, windowSeconds: 3_600, withoutRedis: 'refuse' },
]

describe('api/adapters/redis-limits', () => {
  let server: RedisServer
  const open: RedisLimits[] = []

  const connect = async (): Promise<RedisLimits> => {
    const limits = openRedisLimits({ url: server.url, namespace: `limits-${randomUUID()}` })
    open.push(limits)
    const [policy] = POLICIES as [LimitPolicy]
    await expect.poll(() => limits.take(policy, 'warm-up', 1).then(Boolean, () => false)).toBe(true)
    return limits
  }

  beforeAll(async () => {
    server = await startRedis()
  })
  afterAll(async () => {
    for (const limits of open) limits.close()
    await server.stop()
  })

  test.each(POLICIES)('$kind: of many who ask at once exactly the limit is granted', async (policy) => {
    const limits = await connect()
    const grants = await Promise.all(Array.from({ length: 300 }, () => limits.take(policy, 'anna', 1)))
    expect(grants.reduce((sum, { granted }) => sum + granted, 0)).toBe(policy.limit)
    for (const { granted, waitMs } of grants) expect(waitMs > 0).toBe(granted === 0)
    expect((await limits.take(policy, 'berta', 3)).granted).toBe(3)
  })

  test.each(POLICIES)('$kind: the script grants what the rule in memory grants', async (policy) => {
    const limits = await connect()
    const memory = createMemoryLimits({ nowMs: () => Date.now() })
    for (const want of [1, 3, 2, 5, 200, 1]) {
      const [ours, theirs] = [await limits.take(policy, 'anna', want), await memory.take(policy, 'anna', want)]
      expect(ours).toMatchObject({ granted: theirs.granted, remaining: theirs.remaining })
      // The two ask their clocks some moments apart.
      expect(Math.abs(ours.waitMs - theirs.waitMs)).toBeLessThan(2_000)
      expect(Math.abs(ours.resetMs - theirs.resetMs)).toBeLessThan(2_000)
    }
  })
})
