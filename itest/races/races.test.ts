import type { UnsafeSwitches } from '@lockstep/cache'
import { startRedis, type RedisServer } from '@lockstep/servers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CONTENDERS } from './contenders/index.ts'
import { lockstep } from './contenders/lockstep.ts'
import { SCENARIOS, play, scenarioOf } from './scenarios.ts'
import { soak } from './soak.ts'

/** `LOCKSTEP_RACES_SOAK_MS` makes it long. */
const SOAK_MS = Number(process.env['LOCKSTEP_RACES_SOAK_MS'] ?? 1_500)

let redis: RedisServer
beforeAll(async () => {
  redis = await startRedis({ needs: 'process' })
})
afterAll(() => redis?.stop())

describe('itest/races', () => {
  test.each(SCENARIOS)('ours never loses: $name', async (scenario) => {
    const score = await play(scenario, lockstep, { redis, rows: 3 })
    expect(score.wrong).toBe(0)
    expect(score.judged).toBeGreaterThanOrEqual(3)
  })

  // `ignoreClockJump` needs a machine that sleeps: cache/src/races.test.ts plays it on a clock of its own.
  test.each([
    ['ignoreFences', 'fill against invalidation'],
    ['ignoreFences', 'fill against another process'],
    ['ignoreFences', 'tag invalidated during a load'],
    ['stampAfterLoad', 'fill against another process'],
    ['stampAfterLoad', 'tag invalidated during a load'],
    ['shareAnyFlight', 'join of an older load'],
    ['blindPromotion', 'promotion from Redis to L1'],
    ['ignoreGaps', 'lost bus message'],
    ['ignoreFreshness', 'dead bus'],
  ] as const)('with %s ours loses: %s', async (protection, name) => {
    const unsafe: UnsafeSwitches = { [protection]: true }
    expect((await play(scenarioOf(name), lockstep, { redis, rows: 1, unsafe })).wrong).toBeGreaterThan(0)
  })

  test.each(CONTENDERS.filter(({ name }) => name !== 'lockstep'))('$name can be played with', async (contender) => {
    const scenario = scenarioOf('join of an older load')
    expect((await play(scenario, contender, { redis, rows: 1 })).judged).toBe(1)
  })

  test('four processes under random load read nothing old and load a row that all miss once', async () => {
    const { reads, writes, ...found } = await soak(lockstep, { redis, ms: SOAK_MS })
    expect(found).toEqual({ stale: 0, wrongAtRest: 0, stampedeLoads: 1 })
    expect(reads).toBeGreaterThan(1_000)
    expect(writes).toBeGreaterThan(20)
  })

  test('without fences and lease four processes read old versions, and each loads the row that all miss', async () => {
    const { stale, stampedeLoads } = await soak(lockstep, {
      redis,
      ms: SOAK_MS,
      unsafe: { ignoreFences: true, noLease: true },
    })
    expect(stale).toBeGreaterThan(0)
    expect(stampedeLoads).toBe(4)
  })
})
