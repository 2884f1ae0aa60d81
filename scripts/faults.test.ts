import { describe, expect, test } from 'vitest'
import { readTests } from './fault-tests.ts'
import { FAULTS } from './faults.ts'
import { GUARDS } from './faults/guards.ts'

const faults = FAULTS.flatMap(([, rows]) => rows)
const find = readTests()

describe('docs/faults', () => {
  test.for(faults.map((row) => [row.id, row] as const))(
    '%s has tests that exist, or a reason',
    ([, { tests = [], why }]) => {
      expect(tests.length > 0).toBe(why === undefined)
      expect(tests.filter((title) => find(title).length === 0)).toEqual([])
    },
  )

  test('every fault has a number of its own', () => {
    const ids = faults.flatMap(({ id }) => id.split(', '))
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('no number is left out: all of the matrix are there', () => {
    const numbers = Map.groupBy(
      faults.flatMap(({ id }) => id.split(', ')),
      (id) => id.charAt(0),
    )
    const known = { P: 22, K: 12, R: 7, A: 6, C: 8, N: 3, D: 3 }
    expect(Object.fromEntries([...numbers].map(([letter, ids]) => [letter, ids.length]))).toEqual(known)
  })

  test.for(GUARDS.map((guard) => [guard.without, guard] as const))(
    'without %s a test goes red',
    ([, { test: title }]) => {
      expect(find(title).length).toBeGreaterThan(0)
    },
  )

  test('a test that is gone is missed', () => expect(find('a test that nobody ever wrote')).toEqual([]))
})
