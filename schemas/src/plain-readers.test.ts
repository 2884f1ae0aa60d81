import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeEvent } from './codec.ts'
import { readColumns } from './columns.ts'
import { readPlainChange, readPlainPurge } from './plain-readers.ts'
import { change, purgeCommand } from './testing/arbitraries.ts'
import { assertWireShape } from './wire-shape.ts'
import { HEADER_BYTES, READERS, WRITERS } from './wire-types.ts'

const number = fc.bigInt({ min: 0n, max: 2n ** 52n - 1n })
const printable = (maxLength: number) => fc.stringMatching(new RegExp(`^[ -~]{0,${maxLength}}$`))
const stamp = fc.stringMatching(/^[0-9a-f]{28}$/)
const plainPurge = fc.record({
  kind: fc.constant('purge' as const),
  id: printable(80),
  tag: fc.stringMatching(/^[a-z]{1,5}:[a-z0-9]{0,9}$/),
  stamp,
  commitLsn: number,
  commitTimeUs: number,
  busId: fc.stringMatching(/^(\d{1,13}-\d)?$/),
  reason: printable(20),
})
const columns = fc.dictionary(fc.stringMatching(/^[a-z]{1,9}$/), fc.option(printable(20)), { maxKeys: 4 })
const plainChange = fc.record({
  kind: fc.constant('change' as const),
  op: fc.constantFrom('insert', 'update', 'delete', 'truncate', 'bulk', 'unknown'),
  table: printable(30),
  before: columns,
  after: columns,
  stamp,
  commitLsn: number,
  index: fc.nat(),
  xid: number,
  commitTimeUs: number,
})

interface Wire extends Record<string, unknown> {
  readonly commitLsn: bigint
  readonly xid: bigint
  readonly index: bigint
  readonly before: Buffer
  readonly after: Buffer
}

interface Case {
  readonly plain: fc.Arbitrary<object>
  readonly any: fc.Arbitrary<object>
  readonly read: (bytes: Buffer, start: number) => unknown
  /** What the type of the wire says, as the event says it. */
  readonly eventOf: (wire: Wire) => object
}

const CASES: Readonly<Record<'purge' | 'change', Case>> = {
  purge: {
    plain: plainPurge,
    any: purgeCommand,
    read: readPlainPurge,
    eventOf: ({ commitLsn, ...wire }) => ({ kind: 'purge', ...wire, commitLsn: BigInt.asUintN(64, commitLsn) }),
  },
  change: {
    plain: plainChange,
    any: change,
    read: readPlainChange,
    eventOf: ({ commitLsn, xid, index, before, after, ...wire }) => ({
      kind: 'change',
      ...wire,
      before: readColumns(before),
      after: readColumns(after),
      index: Number(index),
      commitLsn: BigInt.asUintN(64, commitLsn),
      xid: BigInt.asUintN(64, xid),
    }),
  },
}

function orNull(read: () => unknown): unknown {
  try {
    return read()
  } catch {
    return null
  }
}

describe('schemas/plain-readers', () => {
  for (const [kind, { plain, any, read, eventOf }] of Object.entries(CASES)) {
    const reader = READERS.get(WRITERS[kind as keyof typeof CASES].header.readBigUInt64LE(2))!
    const readGenerally = (bytes: Buffer): unknown => {
      assertWireShape(reader.written, bytes, HEADER_BYTES)
      return eventOf(reader.type.fromBuffer(bytes.subarray(HEADER_BYTES), reader.resolver) as Wire)
    }

    test(`a plain ${kind} is read here, as it was written`, () => {
      fc.assert(
        fc.property(plain, (event) => {
          expect(read(encodeEvent(event as never), HEADER_BYTES)).toEqual(event)
        }),
      )
    })

    test(`what is read here of a ${kind}, the general reader reads the same, whatever happened to the bytes`, () => {
      let found = 0
      const flips = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 7 })), { maxLength: 4 })
      fc.assert(
        fc.property(fc.oneof(plain, any), flips, fc.nat(3), (event, positions, cut) => {
          const whole = encodeEvent(event as never)
          const bytes = whole.subarray(0, whole.length - (cut === 3 ? 1 : 0))
          for (const [position, bit] of positions) {
            const at = HEADER_BYTES + (position % (bytes.length - HEADER_BYTES))
            bytes[at]! ^= 1 << bit
          }
          const here = orNull(() => read(bytes, HEADER_BYTES))
          if (here === null) return
          found += 1
          expect(here).toEqual(orNull(() => readGenerally(bytes)))
        }),
        { numRuns: 3_000 },
      )
      expect(found).toBeGreaterThan(300)
    })
  }

  test('what is committed today is plain', () => {
    const [now, stampNow] = [BigInt(Date.now()) * 1_000n, '6740000a000000000001e24fffff']
    const purge = { kind: 'purge', id: '0-1-a:1', tag: 'a:1', stamp: stampNow, commitLsn: 2n ** 40n, busId: '1-0' }
    const row = { kind: 'change', op: 'update', table: 'public.t', before: {}, after: {}, stamp: stampNow, index: 0 }
    const times = { commitTimeUs: now, commitLsn: 2n ** 40n }
    expect(readPlainPurge(encodeEvent({ ...purge, ...times, reason: 'change' } as never), HEADER_BYTES)).not.toBeNull()
    expect(readPlainChange(encodeEvent({ ...row, ...times, xid: 2n ** 33n } as never), HEADER_BYTES)).not.toBeNull()
  })
})
