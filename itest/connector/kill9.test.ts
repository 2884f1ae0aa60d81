import { describe, test } from 'vitest'
import { killedServers, expectLossless } from './kills.ts'
import { MAJORS } from './rig.ts'

// On each version; a hundred in the long half.
const KILLS = 12

describe('itest/connector/kill9 on PostgreSQL 15 and 18', () => {
  const worldOn = killedServers()

  test('a dozen kills at random points lose and invent nothing, on each', async () => {
    await Promise.all(MAJORS.map(async (major) => expectLossless(await worldOn(major, 'killed'), KILLS)))
  })
})
