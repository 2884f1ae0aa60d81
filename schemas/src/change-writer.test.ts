import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Arena } from './arena.ts'
import { writeChange } from './change-writer.ts'
import { encodeColumnName, writeColumns, writeNullColumn, writeTextColumn } from './columns.ts'
import type { Change, Columns } from './events.ts'
import { columns, stamp } from './testing/arbitraries.ts'
import { HEADER_BYTES, WRITERS } from './wire-types.ts'

const text = fc.string({ unit: 'binary', maxLength: 40 })
const unsigned64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const signed64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const block = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))
const op = fc.constantFrom<Change['op']>('insert', 'update', 'delete', 'truncate', 'bulk', 'unknown')

describe('schemas/change-writer', () => {
  test('it writes the bytes that avsc writes', () => {
    const arena = new Arena()
    const fields = fc.record({
      op,
      table: text,
      before: block,
      after: block,
      stamp,
      commitLsn: unsigned64,
      index: fc.maxSafeNat(),
      xid: unsigned64,
      commitTimeUs: signed64,
    })
    fc.assert(
      fc.property(fields, (row) => {
        const slice = (bytes: Buffer) => ({
          bytes: Buffer.concat([Buffer.from('x'), bytes]),
          from: 1,
          to: 1 + bytes.length,
        })
        const index = Math.floor(row.index / 2)
        const given = { ...row, index, before: slice(row.before), after: slice(row.after) }
        const bytes = writeChange(given, row.stamp, row as unknown as Change, arena)
        const signed = (value: bigint): bigint => BigInt.asIntN(64, value)
        const wire = { ...row, commitLsn: signed(row.commitLsn), xid: signed(row.xid) }
        const body = WRITERS.change.type.toBuffer({ ...wire, index: BigInt(index) })
        expect(bytes.subarray(0, HEADER_BYTES)).toEqual(WRITERS.change.header)
        expect(bytes.subarray(HEADER_BYTES).equals(body)).toBe(true)
      }),
      { numRuns: 1_000 },
    )
  })

  test('what was handed out is never written again, whatever follows', () => {
    const arena = new Arena()
    const sizes = fc.array(fc.integer({ min: 1, max: 40_000 }), { minLength: 1, maxLength: 30, size: 'max' })
    fc.assert(
      fc.property(sizes, (list) => {
        const pieces = list.map((size, index) => {
          const target = arena.reserve(size)
          target.fill(index, arena.start, arena.start + size)
          return arena.take(arena.start + size)
        })
        for (const [index, piece] of pieces.entries())
          expect(piece.equals(Buffer.alloc(list[index]!, index))).toBe(true)
      }),
    )
  })

  test('columns copied byte by byte are those of a columns map', () => {
    fc.assert(
      fc.property(columns, (map: Columns) => {
        const [expected, target] = [Buffer.alloc(20_000), Buffer.alloc(20_000)]
        let end = 0
        for (const [name, value] of Object.entries(map)) {
          const encoded = encodeColumnName(name)
          if (value === null) end = writeNullColumn(encoded, target, end)
          else {
            const source = Buffer.from(`xx${value}yy`)
            end = writeTextColumn(encoded, { bytes: source, from: 2, to: source.length - 2 }, target, end)
          }
        }
        expect(end).toBe(writeColumns(map, expected, 0))
        expect(target.equals(expected)).toBe(true)
      }),
    )
  })
})
