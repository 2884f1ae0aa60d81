import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as stamps from './stamp.ts'
import type { Snapshot } from './stamp.ts'

const { clockOf, epochStart, generationOf, maxStamp, parseSnapshot, sees, stampOf, widenXid } = stamps

/** What a primary did, in order: true begins a transaction, a number ends the n-th running one (modulo their count). */
const history = fc.array(fc.oneof(fc.constant(true as const), fc.nat(20)), { minLength: 1, maxLength: 60, size: 'max' })

/** Runs a history and takes a snapshot after every step, as procarray.c does: xmax is the last completed xid plus one. */
function snapshotsOf(steps: readonly (true | number)[], first: bigint): { snapshots: Snapshot[]; xids: bigint[] } {
  const running: bigint[] = []
  const xids: bigint[] = []
  const snapshots: Snapshot[] = []
  let xmax = first
  for (const step of steps) {
    if (step === true) {
      const xid = first + BigInt(xids.length)
      xids.push(xid)
      running.push(xid)
    } else if (running.length > 0) {
      const [ended] = running.splice(step % running.length, 1)
      if (ended! >= xmax) xmax = ended! + 1n
    }
    const xip = running.filter((xid) => xid < xmax)
    snapshots.push({ xmin: xip[0] ?? xmax, xmax, xip })
  }
  return { snapshots, xids }
}

/** Whether, for all pairs, an order of clocks says exactly which snapshot sees more. */
function orderIsInclusion(clock: (snapshot: Snapshot) => string): fc.IProperty<unknown> {
  return fc.property(history, fc.bigInt({ min: 3n, max: 2n ** 50n }), (steps, first) => {
    const { snapshots, xids } = snapshotsOf(steps, first)
    const seen = snapshots.map((snapshot) => new Set(xids.filter((xid) => sees(snapshot, xid))))
    for (const [a, seenByA] of seen.entries())
      for (const [b, seenByB] of seen.entries())
        expect(clock(snapshots[a]!) <= clock(snapshots[b]!)).toBe([...seenByA].every((xid) => seenByB.has(xid)))
  }) as fc.IProperty<unknown>
}

describe('schemas/stamp', () => {
  test('one clock is at most another exactly when the other snapshot sees all that it sees', () => {
    expect(fc.check(orderIsInclusion(clockOf), { numRuns: 300 })).toMatchObject({ failed: false, counterexample: null })
  })

  test('the law is broken by a clock of xmax alone, and by one that counts the running upwards', () => {
    const xmaxOnly = ({ xmax }: Snapshot) => xmax.toString(16).padStart(16, '0')
    const upwards = (snapshot: Snapshot) => xmaxOnly(snapshot) + snapshot.xip.length.toString(16).padStart(4, '0')
    expect(fc.check(orderIsInclusion(xmaxOnly), { numRuns: 300 }).failed).toBe(true)
    expect(fc.check(orderIsInclusion(upwards), { numRuns: 300 }).failed).toBe(true)
  })

  test('more running transactions than the clock can count never make it newer', () => {
    const clock = (count: number) => clockOf({ xmin: 3n, xmax: 100n, xip: Array.from({ length: count }, () => 3n) })
    expect(clock(65_536)).toBe(clock(65_535))
    expect(clock(65_536) < clock(65_534)).toBe(true)
    expect(clock(0)).toBe('0000000000000064ffff')
  })

  test('a generation outweighs every clock, and its start is at most each of its stamps', () => {
    const generation = fc.integer({ min: 0, max: 0xffffffff })
    const clock = fc.stringMatching(/^[0-9a-f]{20}$/).map(stamps.parseClock)
    fc.assert(
      fc.property(generation, generation, clock, clock, (a, b, clockA, clockB) => {
        const [first, second] = [stampOf(a, clockA), stampOf(b, clockB)]
        expect(first < second).toBe(a === b ? clockA < clockB : a < b)
        expect(epochStart(a) <= first).toBe(true)
        expect(generationOf(first)).toBe(a)
        expect(maxStamp(first, second)).toBe(first < second ? second : first)
        expect(first).toHaveLength(stamps.STAMP_LENGTH)
        expect(stamps.parseStamp(first)).toBe(first)
        expect(stamps.ZERO_STAMP <= first).toBe(true)
      }),
    )
  })

  test.each([-1, 1.5, 2 ** 32, Number.NaN])('%d is no generation', (generation) => {
    expect(() => epochStart(generation)).toThrow(RangeError)
  })

  test('a 32-bit xid widens to the nearest 64-bit one, on either side of xmax and across a wrap', () => {
    const distance = fc.integer({ min: -(2 ** 31) + 1, max: 2 ** 31 - 1 })
    fc.assert(
      fc.property(fc.bigInt({ min: 2n ** 31n, max: 2n ** 62n }), distance, (xmax, offset) => {
        const xid = xmax + BigInt(offset)
        expect(widenXid(Number(xid & 0xffffffffn), xmax)).toBe(xid)
      }),
      { numRuns: 1000 },
    )
    expect(widenXid(0xffffffff, 2n ** 32n)).toBe(2n ** 32n - 1n)
    expect(widenXid(5, 2n ** 32n - 3n)).toBe(2n ** 32n + 5n)
    expect(widenXid(0x80000001, 0x80000000n)).toBe(0x80000001n)
  })

  test('the newest transaction, above the snapshot’s xmax, is not seen by it', () => {
    const snapshot = parseSnapshot('100:100:')
    expect(sees(snapshot, widenXid(101, snapshot.xmax))).toBe(false)
    expect(sees(snapshot, widenXid(99, snapshot.xmax))).toBe(true)
  })

  test('Postgres’ text of a snapshot is read', () => {
    expect(parseSnapshot('10:20:10,14,15')).toEqual({ xmin: 10n, xmax: 20n, xip: [10n, 14n, 15n] })
    expect(parseSnapshot('10:10:')).toEqual({ xmin: 10n, xmax: 10n, xip: [] })
  })

  test.each(['', '10', '10:20', '10:20:,', '10:20:1,', 'a:b:', '1:2:3:4', '-1:2:', '1:2:0x3'])(
    '%j is no snapshot',
    (text) => {
      expect(() => parseSnapshot(text)).toThrow(RangeError)
    },
  )

  test.each(['', '0'.repeat(27), '0'.repeat(29), 'F'.repeat(28), `${'0'.repeat(27)} `])('%j is no stamp', (text) => {
    expect(() => stamps.parseStamp(text)).toThrow(RangeError)
    expect(() => stamps.parseClock(text)).toThrow(RangeError)
  })
})
