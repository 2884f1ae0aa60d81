import { parseRules, readColumns } from '@lockstep/schemas'
import { describe, expect, test } from 'vitest'
import { Decoder } from './decoder.ts'
import type { BeginFrame } from './decoder.ts'
import type { Row } from './row.ts'
import { pgoutput } from './testing/pgoutput-bytes.ts'
import { RECORDED } from './testing/recorded-pgoutput.ts'

const rules = parseRules(`
tables:
  public.products:
    - tag: product:{id}
    - tag: category:{category_id}
`)
const COLUMNS = ['*id', 'category_id', 'body']
const UNCHANGED = { unchanged: true } as const

const text = ({ bytes, from, to }: Row['key']) => Buffer.from(bytes.subarray(from, to)).toString()
const plain = ({ op, table, before, after, key }: Row) => {
  const columns = ({ bytes, from, to }: Row['after']) => readColumns(Buffer.from(bytes.subarray(from, to)))
  return { op, table, before: columns(before), after: columns(after), key: text(key) }
}

function open(primaryKey = ['id']) {
  const rows: ReturnType<typeof plain>[] = []
  const raw: Row[] = []
  const seen = { begins: [] as BeginFrame[], commits: [] as bigint[], messages: [] as string[], hashes: [] as Buffer[] }
  const odd = { tags: [] as number[], relations: [] as (readonly string[])[] }
  const decoder = new Decoder({
    rules,
    tables: new Map([['public.products', { oid: 7, primaryKey }]]),
    sink: {
      begin: (frame) => seen.begins.push(frame),
      row: (row) => {
        raw.push(row)
        rows.push(plain(row))
      },
      commit: (endLsn) => seen.commits.push(endLsn),
      message: (prefix, content) => seen.messages.push(`${prefix}:${content}`),
      undecodable: (_table, sha256) => seen.hashes.push(sha256),
    },
    events: {
      unknownTag: (tag) => odd.tags.push(tag),
      relationChanged: (_table, missing) => odd.relations.push(missing),
    },
  })
  return {
    decoder,
    rows,
    raw,
    seen,
    odd,
    feed: (...messages: Buffer[]) => messages.forEach((bytes) => decoder.parse(bytes)),
  }
}

const relation = pgoutput.relation(7, 'public.products', COLUMNS)

describe('connector/decoder', () => {
  test('an insert carries only the columns that rules and the key name', () => {
    const { rows, feed } = open()
    feed(relation, pgoutput.row('insert', 7, { new: ['1', '5', 'long text'] }))
    expect(rows).toEqual([
      {
        op: 'insert',
        table: 'public.products',
        before: {},
        after: { id: '1', category_id: '5' },
        key: 'public.products|1',
      },
    ])
  })

  test('an update without an old tuple copies the identity and leaves the rest unknown', () => {
    const { rows, feed } = open()
    feed(relation, pgoutput.row('update', 7, { new: ['1', '6', UNCHANGED] }))
    expect(rows[0]).toMatchObject({ before: { id: '1' }, after: { id: '1', category_id: '6' } })
    expect(Object.keys(rows[0]?.before ?? {})).toEqual(['id'])
  })

  test('a changed key gives both keys, and placeholders of a key tuple are absent, not NULL', () => {
    const { rows, feed } = open()
    feed(relation, pgoutput.row('update', 7, { key: ['1', null, null], new: ['2', '6', 'b'] }))
    expect(rows[0]?.before).toEqual({ id: '1' })
    expect(rows[0]?.after).toEqual({ id: '2', category_id: '6' })
  })

  test('a partition whose identity is not the full one of its root leaves old values unknown', () => {
    const { rows, feed } = open()
    feed(
      pgoutput.relation(7, 'public.products', ['*id', '*category_id', '*body']),
      pgoutput.row('update', 7, { new: ['1', '6', 'b'] }),
      pgoutput.row('update', 7, { key: ['1', null, null], new: ['2', '6', 'b'] }),
      pgoutput.row('delete', 7, { key: ['1', null, null] }),
    )
    expect(rows.map(({ before }) => before)).toEqual([{}, { id: '1' }, { id: '1' }])
  })

  test('an update without an old tuple copies a key that spans the whole row', () => {
    const { rows, feed } = open(['id', 'category_id'])
    feed(
      pgoutput.relation(7, 'public.products', ['*id', '*category_id']),
      pgoutput.row('update', 7, { new: ['1', '6'] }),
    )
    expect(rows[0]?.before).toEqual({ id: '1', category_id: '6' })
  })

  test('under a full identity NULL is NULL and unchanged TOAST is absent', () => {
    const { rows, feed } = open()
    feed(
      pgoutput.relation(7, 'public.products', ['*id', '*category_id', '*body']),
      pgoutput.row('update', 7, { old: ['1', null, 'x'], new: ['1', UNCHANGED, 'y'] }),
    )
    expect(rows[0]?.before).toEqual({ id: '1', category_id: null })
    expect(rows[0]?.after).toEqual({ id: '1' })
    expect(rows[0]?.key).toBe('public.products|1')
  })

  test('a delete has an old row and no new one', () => {
    const { rows, feed } = open()
    feed(relation, pgoutput.row('delete', 7, { key: ['1', null, null] }))
    expect(rows[0]).toMatchObject({ op: 'delete', before: { id: '1' }, after: {}, key: 'public.products|1' })
  })

  test('xids above 2³¹ are unsigned, and the exact end of the commit record is handed on', () => {
    const { seen, feed } = open()
    feed(
      pgoutput.begin(0xfffffff0, 0x16b374d848n, 1_763_727_877_000_001n),
      pgoutput.commit(0x16b374d848n, 0x16b374d880n),
    )
    expect(seen.begins).toEqual([{ xid: 0xfffffff0, commitLsn: 0x16b374d848n, commitTimeUs: 1_763_727_877_000_001n }])
    expect(seen.commits).toEqual([0x16b374d880n])
  })

  test.each(['15', '18'] as const)('what PostgreSQL %s wrote decodes to what was done', (major) => {
    const { rows, seen, odd, feed } = open()
    feed(...RECORDED[major].map((hex) => Buffer.from(hex, 'hex')))
    const product = (id: string, category_id: string | null) => ({ id, category_id })
    expect(rows.map(({ op, before, after, key }) => [op, before, after, key])).toEqual([
      ['insert', {}, product('1', '5'), 'public.products|1'],
      ['insert', {}, product('2', null), 'public.products|2'],
      ['update', product('1', '5'), product('1', '6'), 'public.products|1'],
      ['update', product('2', null), product('3', null), 'public.products|3'],
      ['delete', product('3', null), {}, 'public.products|3'],
      ['truncate', {}, {}, 'public.products'],
    ])
    expect(seen.messages).toEqual(['lockstep:nonce'])
    expect([seen.begins.length, seen.commits.length, seen.hashes.length]).toEqual([2, 2, 0])
    expect(odd).toEqual({ tags: [], relations: [[], []] })
    // A commit ends behind where its Begin said that it starts.
    for (const [index, { commitLsn }] of seen.begins.entries())
      expect((seen.commits[index] ?? 0n) > commitLsn).toBe(true)
  })

  test('overwriting the input after the call changes nothing that was handed over', () => {
    const { raw, seen, feed } = open()
    const bytes = pgoutput.row('insert', 7, { new: ['1', '5', 'x'] })
    const message = pgoutput.message('lockstep', 'nonce')
    feed(relation, bytes, message)
    bytes.fill(0x58)
    message.fill(0x58)
    expect(raw.map(plain)).toMatchObject([{ key: 'public.products|1', after: { id: '1', category_id: '5' } }])
    expect(seen.messages).toEqual(['lockstep:nonce'])
  })

  test('tables without rules are stepped over', () => {
    const { rows, odd, feed } = open()
    feed(pgoutput.relation(8, 'public.logs', ['*id']), pgoutput.row('insert', 8, { new: ['1'] }), pgoutput.truncate(8))
    expect(rows).toEqual([])
    expect(odd.relations).toEqual([])
  })

  test('a truncate names every table once', () => {
    const { rows, feed } = open()
    feed(relation, pgoutput.truncate(7))
    expect(rows).toEqual([{ op: 'truncate', table: 'public.products', before: {}, after: {}, key: 'public.products' }])
  })

  test('a truncate of several tables gives one change for each that has rules', () => {
    const { rows, feed } = open()
    // Object identifiers are unsigned as well.
    const high = 0xfffffff0
    feed(pgoutput.relation(8, 'public.logs', ['*id']), pgoutput.relation(high, 'public.products', COLUMNS))
    feed(pgoutput.truncate(8, high), pgoutput.row('insert', high, { new: ['1', '5', 'x'] }))
    expect(rows.map(({ op, key }) => [op, key])).toEqual([
      ['truncate', 'public.products'],
      ['insert', 'public.products|1'],
    ])
  })

  test('values of any length and script come through whole', () => {
    for (const id of ['', 'ключ', 'é'.repeat(100), 'x'.repeat(70_000)]) {
      const { rows, feed } = open()
      feed(relation, pgoutput.row('update', 7, { key: [id, null, null], new: [`${id}2`, id, 'z'.repeat(200_000)] }))
      expect(rows[0]).toMatchObject({ before: { id }, after: { id: `${id}2`, category_id: id } })
      expect(rows[0]?.key).toBe(`public.products|${id}2`)
    }
  })

  test('a key of several columns stands in the order of the primary key, and takes from the old row what the new one lacks', () => {
    const { rows, feed } = open(['category_id', 'id'])
    feed(
      pgoutput.relation(7, 'public.products', ['*id', '*category_id', '*body']),
      pgoutput.row('update', 7, { old: ['1', '5', 'x'], new: ['2', UNCHANGED, 'y'] }),
    )
    expect(rows[0]?.key).toBe('public.products|5|2')
  })

  test('a message is read inside what surrounds it, and never past its end', () => {
    const whole = pgoutput.row('insert', 7, { new: ['1', '5', 'x'] })
    const { decoder, rows, feed } = open()
    feed(relation)
    const around = Buffer.concat([Buffer.alloc(9, 0xff), whole, Buffer.alloc(50, 0)])
    decoder.parse(around, 9, 9 + whole.length)
    decoder.parse(around, 9, 9 + whole.length - 1)
    expect(rows.map(({ op }) => op)).toEqual(['insert', 'unknown'])
  })

  test('a stray tag is counted and ignored', () => {
    const { rows, odd, feed } = open()
    feed(Buffer.from('A0000'), Buffer.from('Y'), Buffer.from('O'))
    expect(odd.tags).toEqual([0x41])
    expect(rows).toEqual([])
  })

  test('a row cut short at any byte becomes an unknown change of its table, never a throw', () => {
    const whole = pgoutput.row('update', 7, { old: ['1', '5', 'x'], new: ['2', '6', 'y'] })
    for (let length = 1; length < whole.length; length++) {
      const { rows, seen, feed } = open()
      feed(relation, whole.subarray(0, length))
      expect(rows.map(({ op, table }) => [op, table])).toEqual([['unknown', 'public.products']])
      expect(seen.hashes[0]).toHaveLength(32)
    }
  })

  test('a row of a relation never announced fences every table', () => {
    const { rows, feed } = open()
    feed(pgoutput.row('insert', 99, { new: ['1'] }))
    expect(rows.map(({ op, table }) => [op, table])).toEqual([['unknown', 'public.products']])
  })

  test('a renamed rule column turns changes into unknown until it is back', () => {
    const { rows, odd, feed } = open()
    const row = pgoutput.row('insert', 7, { new: ['1', '5', 'x'] })
    feed(pgoutput.relation(7, 'public.products', ['*id', 'category', 'body']), row, relation, row)
    expect(odd.relations).toEqual([['category_id'], []])
    expect(rows.map(({ op }) => op)).toEqual(['unknown', 'insert'])
  })

  test('a table of the rules under another name fences the class, and no other table does', () => {
    const { rows, odd, feed } = open()
    const row = (oid: number) => pgoutput.row('insert', oid, { new: ['1', '5', 'x'] })
    feed(pgoutput.relation(7, 'public.things', ['*id', 'category_id', 'body']), row(7))
    feed(pgoutput.relation(8, 'public.others', ['*id', 'category_id', 'body']), row(8))
    expect(rows.map(({ op, table }) => [op, table])).toEqual([['unknown', 'public.products']])
    expect(odd.relations).toEqual([['id', 'category_id']])
  })

  test('a frame of transactions that cannot be followed is an error, not a guess', () => {
    const { feed } = open()
    expect(() => feed(Buffer.from('B12'))).toThrow(expect.objectContaining({ code: 'LOCKSTEP_CON_PROTOCOL' }))
  })
})
