import type { Tag } from '@lockstep/schemas'
import { expect, test } from 'vitest'
import type { LeaseReply } from '../../store.ts'
import { fenceOf, invalidate, leaseAt, stampAt, TAG, valueAt, type Given } from './fixture.ts'

const leasesOf = (claims: readonly (Promise<LeaseReply> | null)[]) =>
  Promise.all(claims.map(async (claim) => (await claim)?.lease))

/** What claims do: leases that come with the fence of the own write. */
export function registerClaims(given: Given): void {
  const shortMs = 60_000
  let count = 0
  const claimAt = async (n: number, lifeMs = 9_000): Promise<LeaseReply | null> => {
    const untilMs = Number(await given().store.timeUs()) / 1_000 + lifeMs
    const { fences } = given().store
    const applied = fences.apply([{ tag: TAG, stamp: stampAt(5) }], shortMs)
    const claimed = fences.claim({ key: TAG, holder: `claim-${(count += 1)}`, stamp: stampAt(n), untilMs })
    await applied
    return claimed
  }

  test('a fence brings the lease of its key, which stores', async () => {
    const { fills, values } = given().store
    const claimed = await claimAt(6)
    expect(claimed?.lease?.slice(0, 28)).toBe(stampAt(6))
    expect(claimed?.fence).toEqual(await fenceOf(given()))
    expect((await leaseAt(given(), 7, 'other')).lease).toBeNull()
    expect(await given().life('lease', TAG)).toBeGreaterThan(5_000)
    expect(await given().life('lease', TAG)).toBeLessThan(9_500)
    const [lease, value] = [claimed?.lease ?? '', valueAt(stampAt(6))]
    expect(await fills.store({ key: TAG, lease, value, ttlMs: 60_000, fenceMs: 70_000 })).toBe(true)
    expect(await values.value(TAG)).toBe(value)
  })

  test('nothing is claimed where no fence of the key waits to be sent', async () => {
    const { fences } = given().store
    const claim = () => fences.claim({ key: TAG, holder: 'h', stamp: stampAt(9), untilMs: Number.MAX_SAFE_INTEGER })
    expect(claim()).toBeNull()
    const applied = fences.apply([{ tag: 'other:1' as Tag, stamp: stampAt(5) }], shortMs)
    expect(claim()).toBeNull()
    await applied
    await fences.apply([{ tag: TAG, stamp: stampAt(5) }], shortMs)
    expect(claim()).toBeNull()
    expect((await leaseAt(given(), 5)).lease).not.toBeNull()
  })

  test('a claim takes over from an older load and not from one that sees the change', async () => {
    await leaseAt(given(), 4, 'older')
    expect((await claimAt(5))?.lease).not.toBeNull()
    expect((await claimAt(6))?.lease).toBeNull()
  })

  test('of two claims of one turn one gets the lease', async () => {
    const { fences } = given().store
    const untilMs = Number(await given().store.timeUs()) / 1_000 + 9_000
    const applied = fences.apply([{ tag: TAG, stamp: stampAt(5) }], shortMs)
    const claims = ['a', 'b'].map((holder) => fences.claim({ key: TAG, holder, stamp: stampAt(5), untilMs }))
    await applied
    expect(await leasesOf(claims)).toEqual([`${stampAt(5)}:a`, null])
  })

  test('a claim that is made again, because its answer was lost, still has its lease', async () => {
    const { fences } = given().store
    const untilMs = Number(await given().store.timeUs()) / 1_000 + 9_000
    for (const stamp of [stampAt(4), stampAt(5)]) {
      const applied = fences.apply([{ tag: TAG, stamp }], shortMs)
      const claimed = fences.claim({ key: TAG, holder: 'a', stamp: stampAt(6), untilMs })
      await applied
      expect((await claimed)?.lease).toBe(`${stampAt(6)}:a`)
    }
  })

  test('among many fences each claim gets its own', async () => {
    const { fences } = given().store
    const untilMs = Number(await given().store.timeUs()) / 1_000 + 9_000
    const tags = Array.from({ length: 150 }, (_, n) => `product:${n}` as Tag)
    const applied = Promise.all(tags.map((tag) => fences.apply([{ tag, stamp: stampAt(5) }], shortMs)))
    const claims = [140, 3, 70].map((n) => {
      return fences.claim({ key: `product:${n}`, holder: `h${n}`, stamp: stampAt(5), untilMs })
    })
    await applied
    expect(await leasesOf(claims)).toEqual([140, 3, 70].map((n) => `${stampAt(5)}:h${n}`))
    await expect(given().life('lease', 'product:4')).resolves.toBe(-2)
  })

  test('a claim below a fence gets no lease, and learns of it', async () => {
    await invalidate(given(), 8)
    const claimed = await claimAt(7)
    expect(claimed?.lease).toBeNull()
    expect(claimed?.fence?.stamp).toBe(stampAt(8))
    expect((await leaseAt(given(), 8, 'other')).lease).not.toBeNull()
  })

  test('a later change takes the lease away from its claim', async () => {
    const { fills, values } = given().store
    const lease = (await claimAt(6))?.lease ?? ''
    await invalidate(given(), 7)
    const value = valueAt(stampAt(6))
    expect(await fills.store({ key: TAG, lease, value, ttlMs: 60_000, fenceMs: 70_000 })).toBe(false)
    expect(await values.value(TAG)).toBeNull()
  })

  test('a claim that comes after the end of its lease does not hold it', async () => {
    const { fills } = given().store
    const lease = (await claimAt(6, -5))?.lease ?? ''
    const value = valueAt(stampAt(6))
    expect(await fills.store({ key: TAG, lease, value, ttlMs: 60_000, fenceMs: 70_000 })).toBe(false)
    expect((await leaseAt(given(), 6, 'other')).lease).not.toBeNull()
  })
}
