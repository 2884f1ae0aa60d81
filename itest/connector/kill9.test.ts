import { describe, expect, test } from 'vitest'
import { killedServers, outcome } from './kills.ts'
import { connectorProcess, MAJORS, SEED } from './rig.ts'

// On each version; a hundred in the long half.
const KILLS = 12

describe('itest/connector/kill9 on PostgreSQL 15 and 18', () => {
  const worldOn = killedServers()

  test('a dozen kills at random points lose and invent nothing, on each', async () => {
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
})
