import { describe, expect, test } from 'vitest'
import { explore, PROTECTIONS, type Protection } from './fence-model.ts'
import type { Bounds } from './state.ts'

/**
 * Two transactions, each applied up to twice, and two fillers with one load each, of one tag; one lease and one long fence
 * may expire at any time, short fences as often as they like. Every order of every step is visited. Beyond these bounds
 * (a third transaction, a filler that tries again) nothing is claimed here.
 */
const BOUNDS = { transactions: 2, fillers: 2, runs: 1 }

/** Smaller, because an eviction or a failover may come between any two steps. */
const LOSSES = [
  ['an eviction among two changes', { transactions: 2, fillers: 1, runs: 1, evictions: 1 }],
  ['an eviction among two fillers', { transactions: 1, fillers: 2, runs: 1, evictions: 1 }],
  ['a failover among two fillers', { transactions: 1, fillers: 2, runs: 1, failovers: 1 }],
  ['both, and a filler that tries again', { transactions: 1, fillers: 1, runs: 2, evictions: 1, failovers: 1 }],
] as const

/** The same with fillers that see the fence before they load; they need no eviction mark, and have none. */
const EARLIER = [
  ['with the lease, two changes and two fillers', { ...BOUNDS, touches: 'with the lease' }],
  ['with the lease, an eviction', { transactions: 2, fillers: 1, runs: 1, evictions: 1, touches: 'with the lease' }],
  ['with the lease, a failover', { transactions: 1, fillers: 2, runs: 1, failovers: 1, touches: 'with the lease' }],
  ['before, an eviction among two changes', { transactions: 2, fillers: 1, runs: 1, evictions: 1, touches: 'before' }],
  ['before, an eviction among two fillers', { transactions: 1, fillers: 2, runs: 1, evictions: 1, touches: 'before' }],
  ['before, a failover', { transactions: 1, fillers: 1, runs: 2, failovers: 1, touches: 'before' }],
] as const

/** The same with fillers that may load ahead of the lease. */
const AHEAD = [
  ['two changes and two fillers', { ...BOUNDS, touches: 'with the lease', ahead: true }],
  ['a filler that tries again', { transactions: 2, fillers: 1, runs: 2, touches: 'with the lease', ahead: true }],
  ['a failover', { transactions: 1, fillers: 2, runs: 1, failovers: 1, touches: 'with the lease', ahead: true }],
] as const

/** What they rest on. */
const NEEDED_EARLIER = ['gate', 'incarnation', 'presence', 'stamp first', 'read check'] as const

/** What a protection is worth shows only where that is lost which it is about. */
const LOST: Readonly<Partial<Record<Protection, Partial<Bounds>>>> = {
  'eviction mark': { evictions: 1 },
  'mark of one node': { transactions: 1, fillers: 1, evictions: 1, failovers: 1 },
  'one step': { transactions: 1, failovers: 1 },
  rewind: { transactions: 1, failovers: 1 },
  'claim in time': { touches: 'with the lease', ahead: true },
}

describe('cache/model', () => {
  test('no order of steps serves a value that misses an applied change', { timeout: 180_000 }, () => {
    const found = explore(BOUNDS, null)
    expect(found.trace).toBeNull()
    // Guards the model itself: one that reaches few states, or never caches, would be safe as well.
    expect(found.states).toBeGreaterThan(1_000_000)
    expect(found.validStates).toBeGreaterThan(100_000)
  })

  test.each(LOSSES)('nor where Redis loses something by itself: %s', { timeout: 60_000 }, (_, bounds) => {
    const found = explore(bounds, null)
    expect(found.trace).toBeNull()
    expect(found.states).toBeGreaterThan(10_000)
    expect(found.validStates).toBeGreaterThan(500)
  })

  test.each(EARLIER)('nor where fillers see the fence earlier: %s', { timeout: 60_000 }, (_, bounds) => {
    const found = explore(bounds, null)
    expect(found.trace).toBeNull()
    expect(found.states).toBeGreaterThan(10_000)
    expect(found.validStates).toBeGreaterThan(500)
  })

  test.each(AHEAD)('nor where fillers load ahead of the lease: %s', { timeout: 180_000 }, (_, bounds) => {
    const found = explore(bounds, null)
    expect(found.trace).toBeNull()
    expect(found.states).toBeGreaterThan(10_000)
    expect(found.validStates).toBeGreaterThan(500)
  })

  describe.each(['with the lease', 'before'] as const)('seen %s', (touches) => {
    test.each(NEEDED_EARLIER)(
      'without %s some order of steps serves a stale value',
      { timeout: 60_000 },
      (protection) => {
        const found = explore({ ...BOUNDS, touches }, protection, { trace: true })
        expect(found.trace?.length).toBeGreaterThan(5)
      },
    )
  })

  test.each(PROTECTIONS)('without %s some order of steps serves a stale value', { timeout: 60_000 }, (protection) => {
    const found = explore({ ...BOUNDS, ...LOST[protection] }, protection, { trace: true })
    expect(found.trace?.length).toBeGreaterThan(5)
  })
})
