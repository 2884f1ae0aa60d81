import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeEvent } from './codec.ts'
import { readPlainPurge } from './purge-reader.ts'
import { purgeCommand } from './testing/arbitraries.ts'
import { assertWireShape } from './wire-shape.ts'
import { HEADER_BYTES, READERS, WRITERS } from './wire-types.ts'

const reader = READERS.get(WRITERS.purge.header.readBigUInt64LE(2))!
const plain = fc.record({
  kind: fc.constant('purge' as const),
  id: fc.stringMatching(/^[ -~]{0,80}$/),
  tag: fc.stringMatching(/^[a-z]{1,5}:[a-z0-9]{0,9}$/),
  stamp: fc.stringMatching(/^[0-9a-f]{28}$/),
  commitLsn: fc.bigInt({ min: 0n, max: 2n ** 48n - 1n }),
  commitTimeUs: fc.bigInt({ min: 0n, max: 2n ** 48n - 1n }),
  busId: fc.stringMatching(/^(\d{1,13}-\d)?$/),
  reason: fc.stringMatching(/^[ -~]{0,20}$/),
})

/** As any record is read; null when it is none. */
function readGenerally(bytes: Buffer): unknown {
  try {
    assertWireShape(reader.written, bytes, HEADER_BYTES)
    const wire = reader.type.fromBuffer(bytes.subarray(HEADER_BYTES), reader.resolver) as Record<string, unknown>
    return { kind: 'purge', ...wire, commitLsn: BigInt.asUintN(64, wire['commitLsn'] as bigint) }
  } catch {
    return null
  }
}

function readPlainly(bytes: Buffer): unknown {
  try {
    return readPlainPurge(bytes, HEADER_BYTES)
  } catch {
    return null
  }
}

describe('schemas/purge-reader', () => {
  test('a plain command is read here, as it was written', () => {
    fc.assert(
      fc.property(plain, (command) => {
        expect(readPlainPurge(encodeEvent(command as never), HEADER_BYTES)).toEqual(command)
      }),
    )
  })

  test('what is read here, the general reader reads the same, whatever happened to the bytes', () => {
    let read = 0
    const flips = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 7 })), { maxLength: 4 })
    fc.assert(
      fc.property(fc.oneof(plain, purgeCommand), flips, fc.nat(3), (command, positions, cut) => {
        const whole = encodeEvent(command as never)
        const bytes = whole.subarray(0, whole.length - (cut === 3 ? 1 : 0))
        for (const [position, bit] of positions) {
          const at = HEADER_BYTES + (position % (bytes.length - HEADER_BYTES))
          bytes[at]! ^= 1 << bit
        }
        const found = readPlainly(bytes)
        if (found === null) return
        read += 1
        expect(found).toEqual(readGenerally(bytes))
      }),
      { numRuns: 3_000 },
    )
    expect(read).toBeGreaterThan(300)
  })
})
