import { EVERYTHING, maxStamp, parseTag } from '@lockstep/schemas'
import type { LogEvent, Stamp, Tag } from '@lockstep/schemas'
import { describe, expect, test } from 'vitest'
import { CRASH_POINTS, CrashOnce } from './testing/faulty.ts'
import type { CrashPoint } from './testing/faulty.ts'
import { Rig, flush, productChange, stampAt, watermark } from './testing/rig.ts'

const GARBAGE = Buffer.from('no event at all')

/** A stream with every kind of record: what it must leave behind is known without knowing how it was delivered. */
const STREAM: readonly (LogEvent | Buffer)[] = [
  flush(1, { edge: true, reason: 'first' }),
  productChange(1, stampAt(1, 5)),
  productChange(2, stampAt(1, 6), { op: 'truncate', before: {}, after: {} }),
  watermark(stampAt(1, 7), '1'),
  GARBAGE,
  productChange(3, stampAt(1, 8)),
  flush(2, { edge: true, reason: 'unreadable-record' }),
  productChange(4, stampAt(2, 9)),
  productChange(5, stampAt(2, 10)),
  watermark(stampAt(2, 11), '2'),
]
const EXPECTED_PURGES = ['product:1', 'product:*', 'category:*', 'product:3', 'product:4', 'product:5', '*']

interface Aftermath {
  readonly purged: ReadonlySet<string>
  readonly letters: number
  readonly position: bigint | undefined
  fenceOf(tag: Tag): Stamp | null
  /** Greatest stamp that the bus carried for a tag: what every L1 learned. */
  busStampOf(tag: Tag): Stamp | null
}

/** Sends the stream, lets the service die at the point, starts another one and tells what was left. */
async function crashAt(point: CrashPoint, passage: number, commitFirst = false): Promise<Aftermath | null> {
  const rig = await Rig.create()
  const plan = new CrashOnce(point, passage)
  const dying = await rig.start({ plan, unsafe: { commitFirst } })
  for (const event of STREAM) {
    await rig.send(0, event)
    await rig.settle()
  }
  if (!plan.hasCrashed) {
    await rig.stop()
    return null
  }
  await dying.stop()
  await rig.start()
  await rig.settle()
  const { state } = rig.writer
  const aftermath: Aftermath = {
    purged: new Set(rig.purgedTags),
    letters: rig.letters.length,
    position: rig.position(),
    fenceOf: (tag) => rig.writer.fenceOf(tag),
    busStampOf: (tag) =>
      state.bus
        .flatMap(({ entry }) => entry.f)
        .filter(([name]) => name === tag)
        .reduce<Stamp | null>((max, [, stamp]) => maxStamp(max ?? (stamp as Stamp), stamp as Stamp), null),
  }
  await rig.stop()
  return aftermath
}

function expectNothingLost(aftermath: Aftermath): void {
  expect([...aftermath.purged]).toEqual(expect.arrayContaining(EXPECTED_PURGES))
  expect(aftermath.letters).toBeGreaterThanOrEqual(1)
  expect(aftermath.position).toBe(BigInt(STREAM.length))
  for (const [id, stamp] of [
    [4, stampAt(2, 9)],
    [5, stampAt(2, 10)],
  ] as const) {
    expect(aftermath.fenceOf(parseTag(`product:${id}`))).toBe(stamp)
    expect(aftermath.busStampOf(parseTag(`product:${id}`))).toBe(stamp)
  }
  expect(aftermath.busStampOf(EVERYTHING)).not.toBeNull()
}

describe('invalidator: crashes', () => {
  test.each(CRASH_POINTS)('a crash %s, at any passage, loses no fence, no purge and no dead letter', async (point) => {
    let crashes = 0
    for (let passage = 1; ; passage++) {
      const aftermath = await crashAt(point, passage)
      if (aftermath === null) break
      crashes += 1
      expectNothingLost(aftermath)
    }
    expect(crashes).toBeGreaterThan(0)
  })

  test('committing before applying loses fences in this very check', async () => {
    const lost = CRASH_POINTS.filter((point) => !point.includes('control')).map(async (point) => {
      for (let passage = 1; ; passage++) {
        const aftermath = await crashAt(point, passage, true)
        if (aftermath === null) return false
        try {
          expectNothingLost(aftermath)
        } catch {
          return true
        }
      }
    })
    expect((await Promise.all(lost)).filter(Boolean).length).toBeGreaterThan(0)
  })
})
