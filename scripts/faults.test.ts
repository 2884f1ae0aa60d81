import { describe, expect, test } from 'vitest'
import { readTests } from './fault-tests.ts'
import { FAULTS } from './faults.ts'

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

  test('a test that is gone is missed', () => expect(find('a test that nobody ever wrote')).toEqual([]))
})
