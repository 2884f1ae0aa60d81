import { describe, expect, test } from 'vitest'
import { killedServers, expectLossless, outcome } from './kills.ts'
import { carelessProcess, MAJORS } from './rig.ts'

// On each version.
const KILLS = 100
const CARELESS_KILLS = 8

describe('itest/connector/kill9, long, on PostgreSQL 15 and 18', () => {
  const worldOn = killedServers()

  test('a hundred kills at random points lose and invent nothing, on each', async () => {
    await Promise.all(MAJORS.map(async (major) => expectLossless(await worldOn(major, 'killed'), KILLS)))
  })

  test('acknowledged before the log has them, rows are lost under the same kills: the oracle sees it', async () => {
    await Promise.all(
      MAJORS.map(async (major) => {
        const world = await worldOn(major, 'careless')
        const { verdict } = await outcome(world, carelessProcess(world, { acceptEarlyMs: 100 }), CARELESS_KILLS)
        expect([verdict.lost.length > 0, verdict.delivered > 0]).toEqual([true, true])
      }),
    )
  })
})
