import { describe, expect, test } from 'vitest'
import { killedServers, outcome } from './kills.ts'
import { carelessProcess, connectorProcess, MAJORS, SEED } from './rig.ts'

// On each version.
const KILLS = 100
const CARELESS_KILLS = 8

describe('itest/connector/kill9, long, on PostgreSQL 15 and 18', () => {
  const worldOn = killedServers()

  test('a hundred kills at random points lose and invent nothing, on each', async () => {
    await Promise.all(
      MAJORS.map(async (major) => {
        const world = await worldOn(major, 'killed')
        const found = await outcome(world, (await connectorProcess(world)).process, KILLS)
        const { delivered, repeated } = found.verdict
        console.log(
          JSON.stringify({ law: 'kill9', major, seed: SEED, kills: KILLS, delivered, repeated, ...found, verdict: '' }),
        )
        expect(found).toMatchObject({ verdict: { lost: [], invented: [], late: [] }, generations: 1 })
        expect(found.killedInStream).toBeGreaterThan(KILLS / 3)
        expect(delivered).toBeGreaterThan(KILLS * 10)
      }),
    )
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
