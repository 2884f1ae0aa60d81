import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatLsn, maxLsn, parseLsn } from './lsn.ts'
import type { Lsn } from './lsn.ts'

const lsn = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) as fc.Arbitrary<Lsn>

describe('schemas/lsn', () => {
  test('every position comes back from its text', () => {
    fc.assert(
      fc.property(lsn, (position) => {
        expect(parseLsn(formatLsn(position))).toBe(position)
      }),
    )
  })

  test('Postgres’ own text is kept', () => {
    expect(formatLsn(parseLsn('16/B374D848'))).toBe('16/B374D848')
    expect(parseLsn('16/b374d848')).toBe(97_500_059_720n)
    expect(formatLsn(parseLsn('0/0'))).toBe('0/0')
  })

  test.each(['', '16', '16/', '/1', '1/123456789', 'g/1', '1/1 ', '-1/1', '0x1/1'])('%j is no position', (text) => {
    expect(() => parseLsn(text)).toThrow(RangeError)
  })

  test('the greater of two positions is found', () => {
    fc.assert(
      fc.property(lsn, lsn, (a, b) => {
        expect(maxLsn(a, b)).toBe(a > b ? a : b)
      }),
    )
  })
})
