import { readFileSync } from 'node:fs'
import { parseRules, tagsOf, type Change, type Columns, type Lsn, type Stamp } from '@lockstep/schemas'
import { describe, expect, test } from 'vitest'

const RULES = parseRules(readFileSync(new URL('../lockstep.rules.yaml', import.meta.url), 'utf8'))

function tags(table: string, op: Change['op'], before: Columns, after: Columns): string[] {
  const position = { stamp: '' as Stamp, commitLsn: 0n as Lsn, index: 0, xid: 0n, commitTimeUs: 0n }
  return tagsOf(RULES, { kind: 'change', op, table: `public.${table}`, before, after, ...position }).toSorted()
}

describe('api/rules', () => {
  const lamp = { id: '1', category_id: '2', name: 'Lamp' }

  test('a new price leaves search pages alone; a new name, a new product and a deleted one do not', () => {
    expect(tags('products', 'update', lamp, lamp)).toEqual(['category:2', 'product:1'])
    expect(tags('products', 'update', lamp, { ...lamp, name: 'Lantern' })).toContain('search')
    expect(tags('products', 'insert', {}, lamp)).toContain('search')
    expect(tags('products', 'delete', lamp, {})).toContain('search')
  })

  test('what hangs on a product is fenced by its own row only', () => {
    expect(tags('reviews', 'insert', {}, { id: '9', product_id: '1' })).toEqual(['reviews:1'])
    expect(tags('prices', 'update', { product_id: '1' }, { product_id: '1' })).toEqual(['prices:1'])
    expect(tags('stock', 'update', { product_id: '1' }, { product_id: '1' })).toEqual(['stock:1'])
    expect(tags('sales', 'insert', {}, { product_id: '1', quantity: '2' })).toEqual(['sold:1'])
  })

  test('no rule names what is personal, so no layer ever hears of it', () => {
    expect([...RULES.tables.keys()]).not.toEqual(expect.arrayContaining(['public.carts']))
    for (const table of ['edits', 'carts', 'orders']) expect(tags(table, 'insert', {}, { customer: 'x' })).toEqual([])
  })
})
