import { ZERO_STAMP, maxStamp, parseTag } from '@lockstep/schemas'
import type { Lsn, Stamp, Tag } from '@lockstep/schemas'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { coalesce, mergePurges } from './coalesce.ts'
import type { Effect } from './derive.ts'
import { stampAt } from './testing/rig.ts'

const effects = fc.array(
  fc.record({
    tag: fc.constantFrom('product:1', 'product:2', 'product:*', '*').map(parseTag),
    stamp: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.nat(50)).map(([g, x]) => stampAt(g, x)),
    commitLsn: fc.bigInt({ min: 0n, max: 99n }).map((lsn) => lsn as Lsn),
    commitTimeUs: fc.bigInt({ min: 0n, max: 99n }),
    offset: fc.bigInt({ min: 0n, max: 99n }),
  }),
)

/** What applying fences one by one leaves. */
function fencesAfter(list: readonly Effect[]): Map<Tag, Stamp> {
  const fences = new Map<Tag, Stamp>()
  for (const { tag, stamp } of list) fences.set(tag, maxStamp(fences.get(tag) ?? ZERO_STAMP, stamp))
  return fences
}

describe('invalidator/coalesce', () => {
  test('coalesced effects leave the same fences as applying them one by one', () => {
    fc.assert(
      fc.property(effects, (list) => {
        expect(fencesAfter(coalesce(list))).toEqual(fencesAfter(list))
      }),
    )
  })

  test('coalescing leaves one effect per tag and repeating it changes nothing', () => {
    fc.assert(
      fc.property(effects, (list) => {
        const once = coalesce(list)
        expect(new Set(once.map(({ tag }) => tag)).size).toBe(once.length)
        expect(coalesce([...once, ...once])).toEqual(once)
      }),
    )
  })

  test('latency is measured from the earliest commit of a tag', () => {
    fc.assert(
      fc.property(effects, (list) => {
        for (const merged of coalesce(list)) {
          const same = list.filter(({ tag }) => tag === merged.tag)
          expect(same.every(({ commitTimeUs }) => merged.commitTimeUs <= commitTimeUs)).toBe(true)
          expect(same.some(({ commitTimeUs }) => merged.commitTimeUs === commitTimeUs)).toBe(true)
        }
      }),
    )
  })

  test('the order in which effects are merged does not matter', () => {
    const byTag = (list: Effect[]) => list.toSorted((a, b) => (a.tag < b.tag ? -1 : 1))
    fc.assert(
      fc.property(effects, (list) => {
        expect(byTag(coalesce(list.toReversed()))).toEqual(byTag(coalesce(list)))
      }),
    )
  })

  test('two purges of one tag wait for the later bus entry, compared as numbers', () => {
    const effect: Effect = {
      tag: parseTag('a:1'),
      stamp: stampAt(1, 1),
      commitLsn: 1n as Lsn,
      commitTimeUs: 1n,
      offset: 1n,
    }
    const early = { ...effect, busId: '9-0', reason: 'change' }
    const late = { ...effect, busId: '10-0', reason: 'change' }
    expect(mergePurges(early, late).busId).toBe('10-0')
    expect(mergePurges(late, early).busId).toBe('10-0')
  })
})
