import { describe, expect, test } from 'vitest'
import { expectNoHarm, faultWorlds } from './fault-run.ts'
import { FAULTS } from './faults.ts'

/** Only the faults whose names hold this. */
const ONLY = process.env['LOCKSTEP_REDIS_FAULT'] ?? ''

describe('itest/redis-faults, long', () => {
  const suffer = faultWorlds()

  test('whatever happens to Redis, no read is past the contract and reads stay quick', async () => {
    const faults = FAULTS.filter(({ name }) => name.includes(ONLY))
    const reports = await suffer(faults)
    expect(reports).toHaveLength(faults.length)
    expectNoHarm(reports)
  })
})
