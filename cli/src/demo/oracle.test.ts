import { describe, expect, test } from 'vitest'
import { VersionOracle } from './oracle.ts'

describe('cli/demo/oracle', () => {
  const oracle = () => {
    const made = new VersionOracle(1000)
    made.committed('p1', 2, 100)
    made.committed('p1', 3, 200)
    return made
  }

  test('a read of the newest version is current', () => {
    expect(oracle().judge('p1', 3, 900, 50)).toEqual({ stalenessMs: 0, violation: false })
  })

  test('a read that began before the overwriting commit was acknowledged is current', () => {
    expect(oracle().judge('p1', 2, 199, 0)).toEqual({ stalenessMs: 0, violation: false })
  })

  test('staleness runs from the first commit that overwrote the returned version', () => {
    expect(oracle().judge('p1', 1, 160, 100)).toEqual({ stalenessMs: 60, violation: false })
  })

  test('a version overwritten for longer than the bound is a violation', () => {
    expect(oracle().judge('p1', 2, 300, 99)).toEqual({ stalenessMs: 100, violation: true })
  })

  test('forgetting old commits never turns a stale read into a current one', () => {
    const made = new VersionOracle(10)
    for (let version = 2; version < 50; version++) made.committed('p1', version, version * 100)
    expect(made.judge('p1', 1, 10_000, 50).violation).toBe(true)
  })

  test('an unknown row is current', () => {
    expect(oracle().judge('p9', 1, 900, 0)).toEqual({ stalenessMs: 0, violation: false })
  })
})
