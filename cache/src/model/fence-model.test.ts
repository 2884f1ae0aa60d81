import { describe, expect, test } from 'vitest'
import { explore, PROTECTIONS } from './fence-model.ts'

/**
 * Two transactions, each applied up to twice, and two fillers with one load each, of one tag; one lease and one long fence
 * may expire at any time, short fences as often as they like. Every order of every step is visited. Beyond these bounds
 * (a third transaction, a filler that tries again) nothing is claimed here.
 */
const BOUNDS = { transactions: 2, fillers: 2, runs: 1 }

describe('cache/model', () => {
  test('no order of steps serves a value that misses an applied change', { timeout: 180_000 }, () => {
    const found = explore(BOUNDS, null)
    expect(found.trace).toBeNull()
    // Guards the model itself: one that reaches few states, or never caches, would be safe as well.
    expect(found.states).toBeGreaterThan(1_000_000)
    expect(found.validStates).toBeGreaterThan(100_000)
  })

  test.each(PROTECTIONS)('without %s some order of steps serves a stale value', { timeout: 60_000 }, (protection) => {
    const found = explore(BOUNDS, protection, { trace: true })
    expect(found.trace?.length).toBeGreaterThan(5)
  })
})
