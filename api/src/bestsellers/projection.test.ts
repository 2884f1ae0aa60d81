import { FakeTime } from '@lockstep/runtime/testing'
import { encodeEvent, epochStart, parseSnapshot, type Change, type Columns, type Lsn } from '@lockstep/schemas'
import { beforeEach, describe, expect, test } from 'vitest'
import { logBatch } from '../testing/log-batch.ts'
import { project } from './projection.ts'
import { Projector } from './projector.ts'
import type { Applied, ModelBatch, ModelContent, ModelWriter } from './read-model.ts'

// Sees every transaction below 100, except 98, which was running.
const SNAPSHOT = parseSnapshot('98:100:98')

function change(table: string, op: Change['op'], rows: { before?: Columns; after?: Columns }, xid = 100n): Buffer {
  const { before = {}, after = {} } = rows
  const position = { stamp: epochStart(1), commitLsn: 1n as Lsn, index: 0, xid, commitTimeUs: 0n }
  return encodeEvent({ kind: 'change', op, table: `public.${table}`, before, after, ...position })
}
const sale = (product: string, quantity: string, xid?: bigint): Buffer =>
  change('sales', 'insert', { after: { product_id: product, quantity } }, xid)
const product = (op: Change['op'], before: string | null, after: string | null): Buffer =>
  change('products', op, {
    ...(before === null ? {} : { before: { id: '1', category_id: before } }),
    ...(after === null ? {} : { after: { id: '1', category_id: after } }),
  })
const flush = encodeEvent({ kind: 'flush', generation: 2, reason: 'slot-lost', edge: true, partitions: 1 })

function summed(...values: Buffer[]) {
  const projected = project(
    values.map((value) => ({ value })),
    SNAPSHOT,
  )
  if (projected.kind === 'rebuild') return projected.reason
  const { sold, categories } = projected.delta
  return { sold: Object.fromEntries(sold), categories: Object.fromEntries(categories) }
}

describe('api/bestsellers/projection', () => {
  test('sales add up, products move between categories, and a price changes nothing', () => {
    expect(summed(sale('7', '2'), sale('7', '3'), sale('8', '1'))).toEqual({ sold: { 7: 5, 8: 1 }, categories: {} })
    expect(summed(product('insert', null, '1'), product('update', '1', '2'), product('update', '2', '2'))).toEqual({
      sold: {},
      categories: { 2: 1 },
    })
    expect(summed(product('delete', '3', null))).toEqual({ sold: {}, categories: { 3: -1 } })
  })

  test('what the snapshot of the build saw is in it already; what ran then is not', () => {
    expect(summed(sale('7', '2', 97n))).toEqual({ sold: {}, categories: {} })
    expect(summed(sale('7', '2', 98n))).toEqual({ sold: { 7: 2 }, categories: {} })
    expect(summed(sale('7', '2', 100n))).toEqual({ sold: { 7: 2 }, categories: {} })
  })

  test('a flush, a truncate, missing columns and what cannot be read are built anew', () => {
    expect(summed(flush)).toBe('slot-lost')
    expect(summed(change('sales', 'truncate', {}))).toBe('truncate-of-a-table')
    expect(summed(change('sales', 'insert', { after: { product_id: '1' } }))).toBe('columns-missing')
    expect(summed(Buffer.from('nonsense'))).toBe('unreadable-record')
    expect(summed(change('reviews', 'truncate', {}))).toEqual({ sold: {}, categories: {} })
  })
})

/** The model in memory, as the script in Redis keeps it. */
class FakeModel implements ModelWriter {
  name: string | null = null
  snapshot = ''
  sold = new Map<string, number>()
  positions = new Map<number, bigint>()
  builds = 0
  failures = 0

  build() {
    return Promise.resolve(this.name === null ? null : { name: this.name, snapshot: parseSnapshot(this.snapshot) })
  }

  apply({ build, partition, from, to, delta }: ModelBatch): Promise<Applied> {
    if (this.failures-- > 0) return Promise.reject(new Error('Redis is away'))
    if (build !== this.name) return Promise.resolve({ kind: 'changed' })
    const stands = this.positions.get(partition) ?? from
    if (stands !== from) return Promise.resolve({ kind: 'stands', offset: stands })
    this.positions.set(partition, to)
    for (const [id, n] of delta.sold) this.sold.set(id, (this.sold.get(id) ?? 0) + n)
    return Promise.resolve({ kind: 'applied' })
  }

  async rebuild(read: () => Promise<ModelContent>): Promise<boolean> {
    const content = await read()
    this.builds += 1
    this.name = `build-${this.builds}`
    this.snapshot = content.snapshot
    this.sold = new Map(Object.entries(content.sold))
    this.positions = new Map()
    return true
  }
}

describe('api/bestsellers/projector', () => {
  let time: FakeTime
  let model: FakeModel
  let content: ModelContent
  let reasons: string[]
  let projector: Projector

  beforeEach(() => {
    time = new FakeTime()
    model = new FakeModel()
    reasons = []
    content = { snapshot: '100:100:', sold: { 7: 10 }, categories: {} }
    projector = new Projector({
      model,
      read: () => Promise.resolve(content),
      time,
      random: () => 0.5,
      rebuilt: (reason) => reasons.push(reason),
      failed: () => undefined,
    })
  })

  async function handle(batch: ReturnType<typeof logBatch>) {
    const handling = projector.handle(batch, new AbortController().signal)
    await time.advance(10_000)
    await handling
    return batch.outcome
  }

  test('a model that is not there is built from the database, and what it saw is not added again', async () => {
    await handle(logBatch([sale('7', '2', 99n), sale('7', '3', 100n)]))
    expect(reasons).toEqual(['no-model'])
    expect(model.sold.get('7')).toBe(13)
  })

  test('a batch that comes twice counts once; one that overlaps goes on where the model stands', async () => {
    const twice = () => logBatch([sale('7', '1'), sale('7', '1')], { from: 4n })
    expect(await handle(twice())).toEqual({ committed: true, rewoundTo: null })
    expect(await handle(twice())).toEqual({ committed: true, rewoundTo: null })
    expect(await handle(logBatch([sale('7', '1'), sale('7', '1')], { from: 5n }))).toEqual({
      committed: false,
      rewoundTo: 6n,
    })
    expect(model.sold.get('7')).toBe(12)
  })

  test('a model that lost its last batches gets them again', async () => {
    await handle(logBatch([sale('7', '1')], { from: 0n }))
    model.positions.set(0, 0n)
    expect(await handle(logBatch([sale('7', '1')], { from: 1n }))).toEqual({ committed: false, rewoundTo: 0n })
  })

  test('a hole in the log, a flush and an unreadable record build anew, once', async () => {
    await handle(logBatch([sale('7', '1')]))
    await handle(logBatch([sale('7', '1')], { from: 1n, gap: 3n }))
    expect(reasons).toEqual(['no-model', 'log-gap'])
    await handle(logBatch([flush], { from: 5n }))
    expect(reasons).toEqual(['no-model', 'log-gap', 'slot-lost'])
    expect(await handle(logBatch(['nonsense'], { from: 6n }))).toMatchObject({ committed: true })
    expect(reasons.at(-1)).toBe('unreadable-record')
    expect(model.sold.get('7')).toBe(10)
  })

  test('a build of another worker is adopted', async () => {
    await handle(logBatch([sale('7', '1')]))
    content = { ...content, snapshot: '200:200:', sold: { 7: 50 } }
    await model.rebuild(() => Promise.resolve(content))
    await handle(logBatch([sale('7', '1', 150n), sale('7', '1', 200n)], { from: 1n }))
    expect(model.sold.get('7')).toBe(51)
    expect(reasons).toEqual(['no-model'])
  })

  test('a Redis that is away is waited for', async () => {
    model.failures = 5
    expect(await handle(logBatch([sale('7', '1')]))).toMatchObject({ committed: true })
    expect(model.sold.get('7')).toBe(11)
  })
})
