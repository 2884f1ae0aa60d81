import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RulesError } from './errors.ts'
import type { Change, ChangeOp, Columns } from './events.ts'
import type { Lsn } from './lsn.ts'
import { describeRules, parseRules, tagsOf } from './rules.ts'
import { ZERO_STAMP } from './stamp.ts'
import { parseTag } from './tag.ts'
import { columns } from './testing/arbitraries.ts'

const SHOP = `
tables:
  public.products:
    - tag: product:{id}
    - tag: category:{category_id}
    - tag: products
      on: [insert, delete]
    - tag: price:{id}
      watch: [price, currency]
  stock.levels:
    - tag: stock:{warehouse}:{sku}
`
const shop = parseRules(SHOP)

function changeOf(op: ChangeOp, rows: { before?: Columns; after?: Columns; table?: string }): Change {
  return {
    kind: 'change',
    op,
    table: rows.table ?? 'public.products',
    before: rows.before ?? {},
    after: rows.after ?? {},
    stamp: ZERO_STAMP,
    commitLsn: 1n as Lsn,
    index: 0,
    xid: 1n,
    commitTimeUs: 0n,
  }
}

const tags = (op: ChangeOp, rows: { before?: Columns; after?: Columns; table?: string }) =>
  tagsOf(shop, changeOf(op, rows))
const row = { id: '42', category_id: '7', price: '10', currency: 'EUR' }

describe('schemas/rules: tags of a change', () => {
  test('an insert names the tags of the new row, a delete those of the old one', () => {
    const expected = ['product:42', 'category:7', 'products', 'price:42']
    expect(tags('insert', { after: row })).toEqual(expected)
    expect(tags('delete', { before: row })).toEqual(expected)
  })

  test('an update names the tag the row left and the tag it entered', () => {
    expect(tags('update', { before: row, after: { ...row, category_id: '8' } })).toEqual([
      'product:42',
      'category:8',
      'category:7',
    ])
  })

  test('a key change names the old and the new key', () => {
    const expected = ['product:43', 'product:42', 'category:7', 'price:43', 'price:42']
    expect(tags('update', { before: row, after: { ...row, id: '43' } })).toEqual(expected)
  })

  test('a watched rule fires only when a watched column differs', () => {
    expect(tags('update', { before: row, after: { ...row, name: 'new' } })).not.toContain('price:42')
    expect(tags('update', { before: row, after: { ...row, price: '11' } })).toContain('price:42')
    expect(tags('update', { before: row, after: { ...row, currency: null } })).toContain('price:42')
  })

  test('a watched rule fires when the old value of a watched column is unknown', () => {
    const { currency: _, ...partial } = row
    expect(tags('update', { before: partial, after: row })).toContain('price:42')
    expect(tags('update', { before: partial, after: partial })).toContain('price:42')
  })

  test('a watched column that was not sent again did not change', () => {
    const { price: _, ...partial } = row
    expect(tags('update', { before: row, after: partial })).not.toContain('price:42')
  })

  test('`on` leaves out the other operations', () => {
    expect(tags('update', { before: row, after: row })).not.toContain('products')
  })

  test('a column that was not sent again has its old value', () => {
    const { category_id: _, ...partial } = row
    expect(tags('update', { before: row, after: partial })).toEqual(['product:42', 'category:7'])
  })

  test('a column that neither row carries gives the class tag', () => {
    expect(tags('insert', { after: { id: '42' } })).toContain('category:*')
    expect(tags('update', { before: { id: '42' }, after: { id: '42' } })).toContain('category:*')
    expect(tags('delete', { before: { id: '42' } })).toEqual(['product:42', 'category:*', 'products', 'price:42'])
  })

  test('an update whose old value is unknown gives the new tag and the class tag', () => {
    const rows = { before: { id: '42' }, after: row }
    expect(tags('update', rows)).toEqual(['product:42', 'category:7', 'category:*', 'price:42'])
  })

  test('NULL names no tag from that row', () => {
    const orphan = { ...row, category_id: null }
    expect(tags('insert', { after: orphan })).toEqual(['product:42', 'products', 'price:42'])
    expect(tags('update', { before: row, after: orphan })).toEqual(['product:42', 'category:7'])
    expect(tags('delete', { table: 'stock.levels', before: { warehouse: null } })).toEqual([])
  })

  test('several columns of one template all count', () => {
    const before = { warehouse: 'a', sku: 'x:1' }
    expect(tags('delete', { table: 'stock.levels', before })).toEqual(['stock:a:x:1'])
    expect(tags('delete', { table: 'stock.levels', before: { warehouse: 'a' } })).toEqual(['stock:*'])
  })

  test.each(['truncate', 'bulk', 'unknown', 'added-later' as ChangeOp] as const)(
    '%s names every class of the table',
    (op) => {
      expect(tags(op, {})).toEqual(['product:*', 'category:*', 'products:*', 'price:*'])
    },
  )

  test('text that cannot be a tag gives the class tag', () => {
    for (const category_id of ['a\nb', '\u0000', 'x'.repeat(600), '\ud800'])
      expect(tags('insert', { after: { ...row, category_id } })).toContain('category:*')
  })

  test('a table without rules has no tags', () => {
    expect(tags('truncate', { table: 'public.orders' })).toEqual([])
  })

  test('a column named like a method of Object is absent unless sent', () => {
    const rules = parseRules('tables: {t: [{tag: "a:{constructor}"}, {tag: "b:{__proto__}"}]}')
    const rows = { table: 'public.t', after: { id: '1' } }
    expect(tagsOf(rules, changeOf('insert', rows))).toEqual(['a:*', 'b:*'])
  })

  test('every tag is a tag, once', () => {
    const names = ['id', 'category_id', 'price', 'currency']
    const known = fc.dictionary(fc.constantFrom(...names), fc.option(fc.string({ maxLength: 3 })))
    const op = fc.constantFrom<ChangeOp>('insert', 'update', 'delete', 'truncate', 'bulk', 'unknown')
    fc.assert(
      fc.property(op, fc.oneof(known, columns), fc.oneof(known, columns), (operation, before, after) => {
        const list = tags(operation, { before, after })
        expect(new Set(list).size).toBe(list.length)
        for (const tag of list) expect(parseTag(tag)).toBe(tag)
      }),
      { numRuns: 500 },
    )
  })

  test('knowing less of the old row never loses a tag: it or its class is named', () => {
    const value = fc.option(fc.constantFrom('1', '2'))
    const full = fc.record({ id: value, category_id: value, price: value, currency: value })
    const kept = fc.subarray(['id', 'category_id', 'price', 'currency'])
    fc.assert(
      fc.property(fc.constantFrom<ChangeOp>('update', 'delete'), full, full, kept, (op, before, after, names) => {
        const partial = Object.fromEntries(Object.entries(before).filter(([name]) => names.includes(name)))
        const known = tags(op, { before, after })
        const guessed: readonly string[] = tags(op, { before: partial, after })
        for (const tag of known) expect(guessed.includes(tag) || guessed.includes(`${tag.split(':')[0]}:*`)).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })
})

describe('schemas/rules: the compiled form', () => {
  test('a table says which columns it reads, which old ones it needs, and its classes', () => {
    expect(shop.tables.get('public.products')).toMatchObject({
      table: 'public.products',
      columns: ['id', 'category_id', 'price', 'currency'],
      oldColumns: ['id', 'category_id', 'price', 'currency'],
      watchColumns: ['price', 'currency'],
      classes: ['product', 'category', 'products', 'price'],
    })
  })

  test('a rule on inserts alone needs no old column', () => {
    const rules = parseRules('tables: {t: [{tag: "new:{kind}", on: [insert]}, {tag: "t:{id}", on: [insert, delete]}]}')
    expect(rules.tables.get('public.t')?.oldColumns).toEqual(['id'])
  })

  test('a table without a schema is in public', () => {
    expect([...parseRules('tables: {t: [{tag: t}]}').tables.keys()]).toEqual(['public.t'])
  })

  test('rules are described in the order of the file', () => {
    expect(describeRules(shop).map(({ table, tag }) => `${table} ${tag}`)).toEqual([
      'public.products product:{id}',
      'public.products category:{category_id}',
      'public.products products',
      'public.products price:{id}',
      'stock.levels stock:{warehouse}:{sku}',
    ])
    expect(describeRules(shop)[3]).toEqual({
      table: 'public.products',
      tag: 'price:{id}',
      tagClass: 'price',
      on: ['insert', 'update', 'delete'],
      watch: ['price', 'currency'],
      oldColumns: ['id', 'price', 'currency'],
    })
  })
})

function faultsOf(yaml: string): readonly string[] {
  try {
    parseRules(yaml)
  } catch (error) {
    if (error instanceof RulesError) return error.faults
    throw error
  }
  return []
}

describe('schemas/rules: faults', () => {
  test('a fault is the operator’s to mend, not a transient one', () => {
    expect(() => parseRules('')).toThrow(
      expect.objectContaining({ code: 'LOCKSTEP_SCHEMA_RULES', disposition: 'config' }) as Error,
    )
  })

  test('all faults of a file are reported together, each with its place', () => {
    const faults = faultsOf(`
tables:
  a.b.c: []
  products:
    - tag: '{id}'
    - tag: 'a:{'
      on: [upsert]
      watch: [1]
    - 5
    - {tag: ok, on: [delete], watch: [id], when: now}
  public.products: []
extra: 1`)
    expect(faults.map((fault) => fault.split(': ')[0])).toEqual([
      'the file',
      'tables.a.b.c',
      'tables.products[0].tag',
      'tables.products[1].tag',
      'tables.products[1].on',
      'tables.products[1].watch',
      'tables.products[2]',
      'tables.products[3]',
      'tables.products[3].watch',
      'tables.public.products',
      'tables.public.products',
    ])
  })

  test.each([
    ['', /begin it with "tables:"/],
    ['[]', /begin it with "tables:"/],
    ['tables: {}', /at least one table/],
    ['tables: {t: {tag: a}}', /list of rules/],
    ['tables: {t: [{on: [insert]}]}', /\.tag: must be text/],
    ['tables: {t: [{tag: 7}]}', /quotes/],
    ['tables: {t: [{tag: ""}]}', /must not be empty/],
    ['tables: {t: [{tag: "*"}]}', /reserved/],
    ['tables: {t: [{tag: "*:{id}"}]}', /reserved/],
    ['tables: {t: [{tag: ":{id}"}]}', /class before/],
    ['tables: {t: [{tag: "p{id}"}]}', /class:\{column\}/],
    ['tables: {t: [{tag: "p{id}:x"}]}', /class:\{column\}/],
    ['tables: {t: [{tag: "p:{}"}]}', /names no column/],
    ['tables: {t: [{tag: "p:{a}}"}]}', /no partner/],
    ['tables: {t: [{tag: "p:{{a}}"}]}', /no partner/],
    ['tables: {t: [{tag: "a\\nb"}]}', /control characters/],
    [`tables: {t: [{tag: "${'c'.repeat(511)}"}]}`, /512/],
    ['tables: {t: [{tag: a, on: []}]}', /\[insert, delete\]/],
    ['tables: {t: [{tag: a, on: insert}]}', /list of different names/],
    ['tables: {t: [{tag: a, on: [insert, insert]}]}', /different names/],
    ['tables: {t: [{tag: a, watch: []}]}', /\[price, stock\]/],
    ['tables: {"": [{tag: a}]}', /is not a table/],
    ['tables: {" t": [{tag: a}]}', /is not a table/],
    ['tables: {t: [{tag: a}], t: [{tag: b}]}', /line 1, column \d+: .*unique/],
    ['tables:\n  t: [\n', /^line \d+/],
    ['tables: !!js/function x', /^line 1/],
    ['a: 1\n---\nb: 2', /multiple documents|Source contains/],
  ])('%j is refused with a remedy', (yaml, message) => {
    expect(faultsOf(yaml).join('\n')).toMatch(message)
  })

  test('a table may have 500 rules, since the tags of a change must fit one call of Redis', () => {
    const withRules = (count: number) =>
      `tables: {t: [${Array.from({ length: count }, (_, rule) => `{tag: "r${rule}:{id}"}`).join()}]}`
    const rows = { table: 'public.t', before: { id: '1' }, after: { id: '2' } }
    expect(tagsOf(parseRules(withRules(500)), changeOf('update', rows))).toHaveLength(1_000)
    expect(() => parseRules(withRules(501))).toThrow(/tables.t: has 501 rules, the most is 500/)
  })

  test('a file whose aliases expand without bound is refused', () => {
    const levels = Array.from(
      { length: 30 },
      (_, index) => `a${index + 1}: &a${index + 1} [*a${index}, *a${index}, *a${index}]`,
    )
    expect(faultsOf(`a0: &a0 [x]\n${levels.join('\n')}\ntables: *a30`).join()).toMatch(/aliases/)
  })

  test('any text is a rule set or a RulesError', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.json().map((json) => `tables: ${json}`),
        ),
        (yaml) => {
          expect(faultsOf(yaml).filter((fault) => !fault.includes(': '))).toEqual([])
        },
      ),
      { numRuns: 500 },
    )
  })
})
