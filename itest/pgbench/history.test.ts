import { describe, expect, test } from 'vitest'
import { History } from './history.ts'

const COLUMNS = new Map([['pgbench_accounts', ['aid', 'abalance'] as const]])
const at = (seconds: number) => Date.UTC(2026, 0, 1, 0, 0, seconds) * 1000

function history(): History {
  const made = new History(COLUMNS)
  const commit = (value: string, seconds: number) => {
    made.line('BEGIN 7')
    made.line(
      `table public.pgbench_accounts: UPDATE: aid[integer]:42 bid[integer]:1 abalance[integer]:${value} filler[character]:'abalance[integer]:9 '`,
    )
    made.line(`COMMIT 7 (at 2026-01-01 00:00:0${seconds}.250001+00)`)
  }
  commit('-10', 1)
  commit('20', 2)
  commit('-10', 5)
  return made
}
const read = (value: string, startedAtUs: number) => ({
  row: 'pgbench_accounts:42',
  value,
  startedAtUs,
  endedAtUs: startedAtUs + 1000,
  layer: 'l1',
})

describe('itest/pgbench/history', () => {
  test('commit times keep microseconds and staleness runs from the overwriting commit', () => {
    const judged = history().judge([read('20', at(6))], 700)
    expect(judged).toMatchObject({ checked: 1, violations: 1, fromNowhere: 0 })
    expect(judged.maxStalenessMs).toBeCloseTo(749.999, 3)
  })

  test('a value that comes back later does not excuse a stale read of its first occurrence', () => {
    expect(history().judge([read('-10', at(4))], 1000).violations).toBe(1)
    expect(history().judge([read('-10', at(6))], 0).violations).toBe(0)
  })

  test('a value that no commit had is a violation however large the contract is', () => {
    expect(history().judge([read('99', at(6))], 1e9)).toMatchObject({ violations: 1, fromNowhere: 1 })
  })

  test('the initial value is current until the first commit', () => {
    expect(history().judge([read('0', at(1))], 0).violations).toBe(0)
    expect(history().judge([read('0', at(2))], 700).violations).toBe(1)
  })

  test('a commit that a load did not see was not visible by then, and no read before is late', () => {
    const load = { ...read('20', at(6)), layer: 'load' }
    expect(history().judge([load, read('20', at(6) + 600_000)], 700).violations).toBe(0)
    expect(history().judge([load, read('20', at(6) + 800_000)], 700).violations).toBe(1)
    // The load of an older version tells nothing of a later commit.
    expect(history().judge([{ ...read('-10', at(4)), layer: 'load' }, read('20', at(6))], 700).violations).toBe(1)
  })
})
