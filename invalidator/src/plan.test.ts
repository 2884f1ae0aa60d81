import { FENCES_PER_ADVANCE } from '@lockstep/cache'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ZERO_LSN } from '@lockstep/schemas'
import type { DeadLetter, Tag } from '@lockstep/schemas'
import type { Effect, Item } from './derive.ts'
import { planSteps } from './plan.ts'
import { flush, stampAt, watermark } from './testing/rig.ts'

const letter = { kind: 'dead-letter' } as DeadLetter
const mark = (offset: bigint, generation = 1): Item => ({
  kind: 'watermark',
  offset,
  generation,
  watermark: watermark(stampAt(generation, Number(offset))),
})
/** A change with so many tags of its own, or of a family. */
const change = (offset: bigint, tags: number, family = `of-${offset}`): Item => ({
  kind: 'change',
  offset,
  generation: 1,
  commitTimeUs: 0n,
  effects: Array.from({ length: tags }, (_, n): Effect => {
    return { tag: `item:${family}-${n}` as Tag, stamp: stampAt(1, 5), commitLsn: ZERO_LSN, commitTimeUs: 0n, offset }
  }),
})
const begin = (offset: bigint, generation: number): Item => ({
  kind: 'flush',
  offset,
  generation,
  flush: flush(generation),
})
const unreadable = (offset: bigint): Item => ({ kind: 'unreadable', offset, letter })

describe('invalidator/plan', () => {
  test('a batch without flush or hole is one step over its whole range', () => {
    const steps = planSteps([mark(3n), mark(4n)], { first: 3n, next: 6n, newest: 0 })
    expect(steps).toMatchObject([{ kind: 'apply', from: 3n, to: 6n, isCovered: false }])
  })

  test('a step ends before the record whose tags would be too many, and one record is never divided', () => {
    const changes = [FENCES_PER_ADVANCE - 4, 4, 1, 2 * FENCES_PER_ADVANCE, 1].map((count, index) =>
      change(BigInt(index), count),
    )
    const steps = planSteps(changes, { first: 0n, next: 6n, newest: 0 })
    expect(steps.map((step) => step.kind === 'apply' && [step.from, step.to])).toEqual([
      [0n, 2n],
      [2n, 3n],
      [3n, 4n],
      [4n, 6n],
    ])
  })

  test('a tag that was met before in a step does not count again', () => {
    const changes = Array.from({ length: 100 }, (_, offset) => change(BigInt(offset), 1, 'same'))
    expect(planSteps(changes, { first: 0n, next: 100n, newest: 0 })).toHaveLength(1)
  })

  test('an empty batch still moves over the range that the log skipped', () => {
    expect(planSteps([], { first: 3n, next: 5n, newest: 0 })).toMatchObject([{ kind: 'apply', from: 3n, to: 5n }])
    expect(planSteps([], { first: 3n, next: 3n, newest: 0 })).toEqual([])
  })

  test('a jump of offsets ends a step, so that no step covers a hole', () => {
    const steps = planSteps([mark(3n), mark(7n)], { first: 3n, next: 8n, newest: 0 })
    expect(steps).toMatchObject([
      { from: 3n, to: 4n },
      { from: 7n, to: 8n },
    ])
  })

  test('a first record above the expected offset begins its own step', () => {
    expect(planSteps([mark(7n)], { first: 3n, next: 8n, newest: 0 })).toMatchObject([{ from: 7n, to: 8n }])
  })

  test('only a strictly newer generation covers what precedes its flush', () => {
    const newer = planSteps([mark(1n, 1), begin(2n, 2), mark(3n, 2)], { first: 1n, next: 4n, newest: 0 })
    expect(newer).toMatchObject([{ isCovered: true }, { kind: 'open', offset: 2n }, { from: 3n, isCovered: false }])
    const same = planSteps([mark(1n, 2), begin(2n, 2), mark(3n, 2)], { first: 1n, next: 4n, newest: 0 })
    expect(same[0]).toMatchObject({ isCovered: false })
  })

  test('a flush that is sent again covers nothing, not even what is older', () => {
    const resent = planSteps([begin(1n, 2), mark(2n, 1), begin(3n, 2)], { first: 1n, next: 4n, newest: 0 })
    expect(resent[1]).toMatchObject({ isCovered: false })
    const knownBefore = planSteps([mark(2n, 1), begin(3n, 2)], { first: 2n, next: 4n, newest: 2 })
    expect(knownBefore[0]).toMatchObject({ isCovered: false })
  })

  test('an unreadable record ends a step in front of it and is never covered', () => {
    const steps = planSteps([mark(1n), unreadable(2n), mark(3n), begin(4n, 9)], { first: 1n, next: 5n, newest: 0 })
    expect(steps).toMatchObject([
      { from: 1n, to: 2n, endsUnreadable: true, isCovered: false },
      { from: 3n, to: 4n, isCovered: true },
      { kind: 'open', offset: 4n },
    ])
  })

  test('steps keep the order of offsets, never overlap, and hold every record once', () => {
    const item = fc.constantFrom('mark', 'flush', 'unreadable')
    const run = fc.array(
      fc.record({ gap: fc.constantFrom(0n, 0n, 0n, 2n), item, generation: fc.integer({ min: 1, max: 3 }) }),
    )
    fc.assert(
      fc.property(run, (records) => {
        let next = 0n
        const items = records.map(({ gap, item: kind, generation }) => {
          const offset = next + gap
          next = offset + 1n
          if (kind === 'mark') return mark(offset, generation)
          return kind === 'flush' ? begin(offset, generation) : unreadable(offset)
        })
        let last = -1n
        const held: bigint[] = []
        for (const step of planSteps(items, { first: 0n, next, newest: 0 })) {
          const from = step.kind === 'open' ? step.offset : step.from
          expect(from).toBeGreaterThanOrEqual(last)
          last = step.kind === 'open' ? step.offset + 1n : step.to
          if (step.kind === 'open') held.push(step.offset)
          else held.push(...step.items.map(({ offset }) => offset), ...(step.endsUnreadable ? [step.to] : []))
          const inside = step.kind === 'open' ? [] : step.items
          expect(inside.every(({ offset }) => offset >= from && offset < last)).toBe(true)
        }
        expect(held).toEqual(items.map(({ offset }) => offset))
      }),
    )
  })
})
