import { epochStart, type Tag } from '@lockstep/schemas'
import { expect, test } from 'vitest'
import { TAG, invalidate, fenceOf, leaseAt, stampAt, storeAt, valueAt, type Given } from './fixture.ts'

/** What leases, touches and stores do to each other. */
export function registerFills(given: Given): void {
  test('one holder has the lease; it carries the greater of stamp and own fence', async () => {
    await invalidate(given(), 7)
    const first = await leaseAt(given(), 5)
    expect(first.lease?.slice(0, 28)).toBe(stampAt(7))
    expect(first.fence?.stamp).toBe(stampAt(7))
    const second = await leaseAt(given(), 8)
    expect(second.lease).toBeNull()
    expect(await given().life('lease', TAG)).toBeGreaterThan(5_000)
  })

  test('whoever gets the lease finds an own fence, which knows of no change and which the value may name', async () => {
    const first = await leaseAt(given(), 5, 'first')
    expect(first.fence).toEqual({ stamp: epochStart(1), incarnation: 'first' })
    expect(await fenceOf(given())).toEqual(first.fence)
    expect(await given().life('fence', TAG)).toBeGreaterThan(await given().life('lease', TAG))
    await given().store.fills.release(TAG, first.lease ?? '')
    expect((await leaseAt(given(), 6, 'second')).fence).toEqual(first.fence)
  })

  test('storing raises the life of the own fence and never shortens a longer one', async () => {
    await storeAt(given(), 5)
    expect(await given().life('fence', TAG)).toBeGreaterThan(60_000)
    await given().store.fills.touch([TAG], stampAt(5), 600_000)
    await storeAt(given(), 6)
    expect(await given().life('fence', TAG)).toBeGreaterThan(590_000)
  })

  test('who does not get the lease makes no other fence', async () => {
    const first = await leaseAt(given(), 5, 'holder')
    expect((await leaseAt(given(), 5, 'other')).fence).toEqual(first.fence)
  })

  test('leases and stores of one turn are each for themselves', async () => {
    const { fills, values } = given().store
    const keys = ['a:1', 'b:1', 'a:1', 'c:1']
    const wish = (key: string, n: number) => ({
      key,
      holder: `h${n}`,
      stamp: stampAt(5),
      leaseMs: 9_000,
      fenceMs: 60_000,
    })
    const replies = await Promise.all(keys.map((key, n) => fills.lease(wish(key, n))))
    expect(replies.map(({ lease }) => lease !== null)).toEqual([true, true, false, true])
    const value = (key: string): string => valueAt(stampAt(5)) + key
    const stored = await Promise.all(
      replies.map(({ lease }, n) => {
        const key = keys[n] ?? ''
        return fills.store({
          key,
          lease: key === 'b:1' ? 'lost' : (lease ?? ''),
          value: value(key),
          ttlMs: 60_000,
          fenceMs: 70_000,
        })
      }),
    )
    expect(stored).toEqual([true, false, false, true])
    expect(await Promise.all(keys.map((key) => values.value(key)))).toEqual([
      value('a:1'),
      null,
      value('a:1'),
      value('c:1'),
    ])
  })

  test('a lease request answers the value that is there', async () => {
    expect((await leaseAt(given(), 4)).value).toBeNull()
    await invalidate(given(), 5)
    await storeAt(given(), 5)
    expect((await leaseAt(given(), 6)).value).toBe(valueAt(stampAt(5)))
  })

  test('touching creates a fence at the stamp once and answers its incarnation ever after', async () => {
    const { fills } = given().store
    const first = await fills.touch([TAG], stampAt(5), 60_000)
    expect(await fenceOf(given())).toEqual({ stamp: stampAt(5), incarnation: first.incarnations[0] })
    const second = await fills.touch([TAG], stampAt(8), 120_000)
    expect(second.incarnations).toEqual(first.incarnations)
    expect((await fenceOf(given()))?.stamp).toBe(stampAt(5))
    expect(await given().life('fence', TAG)).toBeGreaterThan(110_000)
  })

  test('touching with an older stamp than one of the fences is refused for that one', async () => {
    await invalidate(given(), 7)
    const other = 'category:1' as Tag
    const reply = await given().store.fills.touch([TAG, other], stampAt(6), 60_000)
    expect(reply.newer).toEqual([{ tag: TAG, stamp: stampAt(7) }])
    expect(reply.incarnations[0]).toBeNull()
    expect(reply.incarnations[1]).not.toBeNull()
  })

  test('a value is stored only under exactly the lease that is held, which it drops', async () => {
    const { fills, values } = given().store
    const { lease } = await leaseAt(given(), 5)
    const request = { key: TAG, value: valueAt(stampAt(5)), ttlMs: 60_000, fenceMs: 70_000 }
    expect(await fills.store({ ...request, lease: `${lease}x` })).toBe(false)
    expect(await values.value(TAG)).toBeNull()
    expect(await fills.store({ ...request, lease: lease ?? '' })).toBe(true)
    expect(await values.value(TAG)).toBe(request.value)
    expect(await given().life('lease', TAG)).toBe(-2)
    expect(await fills.store({ ...request, lease: lease ?? '' })).toBe(false)
  })

  test('a load from before an invalidation is not stored after it', async () => {
    const { lease } = await leaseAt(given(), 5)
    await invalidate(given(), 6)
    const value = valueAt(stampAt(5))
    expect(
      await given().store.fills.store({ key: TAG, lease: lease ?? '', value, ttlMs: 60_000, fenceMs: 70_000 }),
    ).toBe(false)
    expect(await given().store.values.value(TAG)).toBeNull()
  })

  test('only the holder lets go of a lease', async () => {
    const { lease } = await leaseAt(given(), 5)
    await given().store.fills.release(TAG, `${lease}x`)
    expect(await given().life('lease', TAG)).toBeGreaterThan(0)
    await given().store.fills.release(TAG, lease ?? '')
    expect(await given().life('lease', TAG)).toBe(-2)
  })

  test('leases that are let go of at once go, but for those of others', async () => {
    const { fills } = given().store
    const tags = Array.from({ length: 100 }, (_, n) => `product:${n}`)
    const stamp = stampAt(5)
    const leases = await Promise.all(tags.map((key) => fills.lease({ key, holder: `h-${key}`, stamp, leaseMs: 9_000 })))
    await Promise.all(tags.map((key, n) => fills.release(key, n % 10 === 3 ? 'x' : (leases[n]?.lease ?? ''))))
    const lives = await Promise.all(tags.map((key) => given().life('lease', key as Tag)))
    expect(lives.map((life) => life > 0)).toEqual(tags.map((_, n) => n % 10 === 3))
  })

  test('a value lives as long as it was given', async () => {
    const { lease } = await leaseAt(given(), 5)
    const value = valueAt(stampAt(5))
    await given().store.fills.store({ key: TAG, lease: lease ?? '', value, ttlMs: 20, fenceMs: 99 })
    await expect.poll(() => given().store.values.value(TAG), { timeout: 2_000 }).toBeNull()
  })

  test('an unknown fence is none', async () => {
    const { values } = given().store
    expect((await values.fences([TAG, 'category:9' as Tag])).records).toEqual([null, null])
    expect((await values.fences([])).records).toEqual([])
  })
}
