import avro from 'avsc'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BIGINT_LONG } from './avro-long.ts'

const EDGES = [0n, 1n, 63n, 64n, 2n ** 31n, 2n ** 51n, 2n ** 52n, 2n ** 53n, 2n ** 55n, 2n ** 62n, 2n ** 63n - 1n]
const plain = avro.Type.forSchema('long')

describe('schemas/avro-long', () => {
  test('every 64-bit number comes back exactly', () => {
    for (const edge of EDGES.flatMap((value) => [value, -value, value - 1n, -value - 1n]))
      expect(BIGINT_LONG.fromBuffer(BIGINT_LONG.toBuffer(edge))).toBe(edge)
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
        expect(BIGINT_LONG.fromBuffer(BIGINT_LONG.toBuffer(value))).toBe(value)
      }),
    )
  })

  test('the bytes are those of a plain Avro long', () => {
    fc.assert(
      fc.property(fc.integer({ min: -(2 ** 50), max: 2 ** 50 }), (value) => {
        expect(BIGINT_LONG.toBuffer(BigInt(value))).toEqual(plain.toBuffer(value))
      }),
    )
  })

  test('a number beyond 64 bits is refused', () => {
    expect(() => BIGINT_LONG.toBuffer(2n ** 63n)).toThrow(RangeError)
    expect(() => BIGINT_LONG.toBuffer(-(2n ** 63n) - 1n)).toThrow(RangeError)
  })
})
