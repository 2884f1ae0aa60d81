import { describe, expect, test } from 'vitest'
import { exploreReader, READER_PROTECTIONS } from './reader-model.ts'

/**
 * A process with L1 and mirror beside the fence protocol: one change, applied up to twice, a filler elsewhere that may try
 * twice, one own load, and a tail that attaches twice; the fence may expire or be evicted at any time.
 */
const BOUNDS = { transactions: 1, fillers: 1, runs: 2, evictions: 1 }
/** The process goes on reading on the promoted node before its tail finds that the bus is another. */
const FAILOVER = { transactions: 1, fillers: 1, runs: 1, failovers: 1 }

describe('cache/model: a reading process', () => {
  test(
    'no order of steps serves from L1 what misses a change that the process has applied',
    { timeout: 60_000 },
    () => {
      const found = exploreReader(BOUNDS, null)
      expect(found.trace).toBeNull()
      expect(found.states).toBeGreaterThan(100_000)
      expect(found.validStates).toBeGreaterThan(10_000)
    },
  )

  test('nor does one in which a replica is promoted that missed the last writes', { timeout: 60_000 }, () => {
    const found = exploreReader(FAILOVER, null)
    expect(found.trace).toBeNull()
    expect(found.states).toBeGreaterThan(100_000)
    expect(found.validStates).toBeGreaterThan(10_000)
  })

  test.each(READER_PROTECTIONS)('without %s some order of steps does', { timeout: 60_000 }, (protection) => {
    // A fence that was lost and made anew takes a filler that tries again.
    const lost = { ...BOUNDS, runs: protection === 'incarnation' ? 2 : 1 }
    const found = exploreReader(protection === 'vouching' ? FAILOVER : lost, protection, { trace: true })
    expect(found.trace?.length).toBeGreaterThan(3)
  })
})
