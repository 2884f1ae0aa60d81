import type { Tag } from '@lockstep/schemas'
import { expect, test } from 'vitest'
import { DEFAULT_SHORT_FENCE_MS } from '../../fence-writer.ts'
import { TAG, invalidate, raise, fenceOf, leaseAt, stampAt, storeAt, valueAt, type Given } from './fixture.ts'

/** What invalidations do to fences, values and leases. */
export function registerInvalidation(given: Given): void {
  test('an invalidation creates an absent fence under a new incarnation', async () => {
    await invalidate(given(), 5)
    const fence = await fenceOf(given())
    expect(fence?.stamp).toBe(stampAt(5))
    expect(fence?.incarnation).not.toBe('')
  })

  test('fences merge by maximum and keep their incarnation', async () => {
    await invalidate(given(), 5)
    const first = await fenceOf(given())
    await invalidate(given(), 3)
    expect(await fenceOf(given())).toEqual(first)
    await invalidate(given(), 9)
    expect(await fenceOf(given())).toEqual({ stamp: stampAt(9), incarnation: first?.incarnation })
  })

  test('an invalidation raises a fence to the short life and never shortens a longer one', async () => {
    await given().store.fills.touch([TAG], stampAt(1), 1_000)
    await invalidate(given(), 2)
    const life = await given().life('fence', TAG)
    expect(life).toBeGreaterThan(DEFAULT_SHORT_FENCE_MS - 5_000)
    await given().store.fills.touch([TAG], stampAt(2), 600_000)
    await invalidate(given(), 3)
    expect(await given().life('fence', TAG)).toBeGreaterThan(590_000)
  })

  test('an invalidation that changes nothing still raises the life of the fence', async () => {
    await given().store.fills.touch([TAG], stampAt(9), 1_000)
    await invalidate(given(), 2)
    expect(await given().life('fence', TAG)).toBeGreaterThan(DEFAULT_SHORT_FENCE_MS - 5_000)
  })

  test('an invalidation unlinks an older value and leaves one that already sees the change', async () => {
    expect(await storeAt(given(), 5)).toBe(true)
    await invalidate(given(), 5)
    expect(await given().store.values.value(TAG)).toBe(valueAt(stampAt(5)))
    await invalidate(given(), 6)
    expect(await given().store.values.value(TAG)).toBeNull()
  })

  test('an invalidation drops the lease of an older load and leaves that of a newer one', async () => {
    await leaseAt(given(), 5)
    await invalidate(given(), 5)
    expect((await leaseAt(given(), 5, 'other')).lease).toBeNull()
    await invalidate(given(), 6)
    expect((await leaseAt(given(), 6, 'other')).lease).not.toBeNull()
  })

  test('of many tags together each has its own, and of one named twice the greatest stamp counts', async () => {
    await storeAt(given(), 5)
    const others = Array.from({ length: 100 }, (_, index) => [`other:${index}`, stampAt(index + 1), 0] as const)
    await raise(given(), [...others, [TAG, stampAt(7), 0], [TAG, stampAt(6), 0]])
    expect((await fenceOf(given()))?.stamp).toBe(stampAt(7))
    expect(await given().store.values.value(TAG)).toBeNull()
    const { records } = await given().store.values.fences(others.map(([tag]) => tag as Tag))
    expect(records.map((record) => record?.stamp)).toEqual(others.map(([, stamp]) => stamp))
  })

  test('the write path raises the same fences', async () => {
    await storeAt(given(), 5)
    await given().store.fences.apply([{ tag: TAG, stamp: stampAt(6) }], 60_000)
    expect((await fenceOf(given()))?.stamp).toBe(stampAt(6))
    expect(await given().store.values.value(TAG)).toBeNull()
    expect(await given().life('fence', TAG)).toBeGreaterThan(50_000)
  })

  test.each(['product:*', '*'])('the coarse tag %s has no fence of its own', async (tag) => {
    await raise(given(), [[tag, stampAt(1), 0]])
    expect((await given().store.values.fences([tag as Tag])).records).toEqual([null])
  })
}
