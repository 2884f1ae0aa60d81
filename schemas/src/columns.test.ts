import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { columnsBound, readColumns, writeColumns } from './columns.ts'
import type { Columns } from './events.ts'
import { columns } from './testing/arbitraries.ts'

function encode(map: Columns): Buffer {
  const buffer = Buffer.alloc(columnsBound(map))
  return buffer.subarray(0, writeColumns(map, buffer, 0))
}

function outcomeOf(bytes: Buffer): string {
  try {
    readColumns(bytes)
    return 'map'
  } catch (error) {
    return (error as Error).name
  }
}

describe('schemas/columns', () => {
  test('every map comes back as it was, in its order', () => {
    fc.assert(
      fc.property(columns, (map) => {
        const read = readColumns(encode(map))
        expect(Object.entries(read)).toEqual(Object.entries(map))
      }),
      { numRuns: 1000 },
    )
  })

  test.each([0, 1, 31, 32, 33, 127, 128, 16_383, 16_384])('text of %i characters comes back as it was', (length) => {
    for (const character of ['x', 'ü', '🧦']) {
      const map = { [character.repeat(length)]: character.repeat(length), next: null }
      expect(Object.entries(readColumns(encode(map)))).toEqual(Object.entries(map))
    }
  })

  test('an undefined column is not written', () => {
    expect(Object.keys(readColumns(encode({ a: '1', b: undefined as never })))).toEqual(['a'])
  })

  test('random bytes are a map or an UndecodableError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        expect(outcomeOf(Buffer.from(bytes))).toMatch(/^(map|UndecodableError)$/)
      }),
      { numRuns: 5000 },
    )
  })
})
