import { describe, expect, test } from 'vitest'
import type { RecentChanges, ShopReads, ShopWrites } from '../ports.ts'

type Shop = ShopReads & ShopWrites & RecentChanges

const unknownCategory = expect.objectContaining({ code: 'LOCKSTEP_API_UNKNOWN_CATEGORY' })
// Beyond int4, where a cast would overflow.
const GREAT_ID = 2 ** 40

/** Registers the laws of a shop. `open` answers one with the categories 1 and 2 and no products. */
export function registerShopContract(name: string, open: () => Promise<Shop>): void {
  const lamp = { name: 'Lamp', priceCents: 100, categoryId: 1 }

  describe(`${name} keeps the shop contract`, () => {
    test('a created product has version 1 and is read as it was written', async () => {
      const shop = await open()
      const { row } = await shop.create(lamp, null)
      expect(row).toMatchObject({ ...lamp, version: 1 })
      expect(row.updatedAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
      expect(await shop.product(row.id)).toEqual(row)
    })

    test('an update changes what is given and nothing else, and counts', async () => {
      const shop = await open()
      const { row } = await shop.create(lamp, null)
      const updated = await shop.update(row.id, { priceCents: 0 }, null)
      expect(updated?.row).toMatchObject({ name: 'Lamp', priceCents: 0, categoryId: 1, version: 2 })
      expect((updated?.row.updatedAt ?? '') > row.updatedAt).toBe(true)
      expect(await shop.product(row.id)).toEqual(updated?.row)
    })

    test('every write leaves a clock above that of the write before', async () => {
      const shop = await open()
      const { row, clock } = await shop.create(lamp, null)
      const updated = await shop.update(row.id, { name: 'Lantern' }, null)
      const removed = await shop.remove(row.id)
      expect((updated?.clock ?? '') > clock).toBe(true)
      expect((removed?.clock ?? '') > (updated?.clock ?? '')).toBe(true)
    })

    test('what does not exist is null, whatever its id', async () => {
      const shop = await open()
      for (const id of [404, GREAT_ID, Number.MAX_SAFE_INTEGER]) {
        expect(await shop.product(id)).toBeNull()
        expect(await shop.update(id, { name: 'x' }, 'anna')).toBeNull()
        expect(await shop.remove(id)).toBeNull()
        expect(await shop.productsOf(id, 10)).toBeNull()
      }
    })

    test('an unknown category is refused and leaves nothing behind', async () => {
      const shop = await open()
      const { row } = await shop.create(lamp, null)
      for (const categoryId of [3, GREAT_ID]) {
        await expect(shop.create({ ...lamp, categoryId }, 'anna')).rejects.toEqual(unknownCategory)
        await expect(shop.update(row.id, { categoryId }, 'anna')).rejects.toEqual(unknownCategory)
      }
      expect(await shop.product(row.id)).toEqual(row)
      expect(await shop.productsOf(1, 10)).toEqual([row])
      expect(await shop.changedBy('anna', 10)).toEqual([])
    })

    test('a list holds the members of its category by id, up to the limit; an empty category has an empty list', async () => {
      const shop = await open()
      const rows = []
      for (const product of ['a', 'b', 'c']) rows.push((await shop.create({ ...lamp, name: product }, null)).row)
      expect(await shop.productsOf(1, 2)).toEqual(rows.slice(0, 2))
      expect(await shop.productsOf(1, 100)).toEqual(rows)
      expect(await shop.productsOf(2, 100)).toEqual([])
      const moved = await shop.update(rows[1]?.id ?? 0, { categoryId: 2 }, null)
      expect(await shop.productsOf(2, 100)).toEqual([moved?.row])
      expect(await shop.productsOf(1, 100)).toEqual([rows[0], rows[2]])
      expect((await shop.categories()).map(({ id }) => id)).toEqual([1, 2])
    })

    test('an editor sees the own changes, the latest first, and nobody else sees them', async () => {
      const shop = await open()
      const first = await shop.create(lamp, 'anna')
      const second = await shop.create(lamp, 'anna')
      await shop.create(lamp, null)
      await shop.update(first.row.id, { name: 'Lantern' }, 'anna')
      expect((await shop.changedBy('anna', 10)).map(({ id, name: given }) => [id, given])).toEqual([
        [first.row.id, 'Lantern'],
        [second.row.id, 'Lamp'],
      ])
      expect(await shop.changedBy('anna', 1)).toHaveLength(1)
      expect(await shop.changedBy('berta', 10)).toEqual([])
      await shop.remove(first.row.id)
      expect((await shop.changedBy('anna', 10)).map(({ id }) => id)).toEqual([second.row.id])
    })
  })
}
