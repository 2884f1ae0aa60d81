import type { Tag } from '@lockstep/schemas'
import { expect, test } from 'vitest'
import { TAG, invalidate, fenceOf, leaseAt, open, stampAt, step, storeAt, valueAt, type Given } from './fixture.ts'

/** What a server without memory refuses and what it must take. */
export function registerFullServer(given: Given): void {
  test('a full server refuses fills and still takes invalidations, positions, generations and acks', async () => {
    await open(given(), 0, 0n)
    await storeAt(given(), 5)
    const { lease } = await leaseAt(given(), 5)
    await given().setFull(true)
    const value = valueAt(stampAt(6))
    const refused = { code: 'LOCKSTEP_CACHE_REDIS' }
    const { fills } = given().store
    await expect(
      fills.store({ key: TAG, lease: lease ?? '', value, ttlMs: 60_000, fenceMs: 70_000 }),
    ).rejects.toMatchObject(refused)
    const wish = { key: 'x:1', holder: 'h', stamp: stampAt(6), leaseMs: 9 }
    await expect(fills.lease(wish)).rejects.toMatchObject(refused)
    await expect(fills.touch(['x:1' as Tag], stampAt(6), 60_000)).rejects.toMatchObject(refused)
    await invalidate(given(), 7)
    expect(await given().store.values.value(TAG)).toBeNull()
    expect((await fenceOf(given()))?.stamp).toBe(stampAt(7))
    expect((await given().writer.advance(step(0n, 1n))).kind).toBe('applied')
    expect((await open(given(), 0, 1n, 2)).kind).toBe('opened')
    await given().store.bus.ack('p1', '1-1')
    await fills.release(TAG, lease ?? '')
    expect(await given().ack('p1')).not.toBeNull()
    await given().setFull(false)
    expect((await leaseAt(given(), 8)).lease).not.toBeNull()
  })
}
