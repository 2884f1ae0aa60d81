import { randomUUID } from 'node:crypto'
import { waitFor } from '@lockstep/runtime/testing'
import { startRedis, type RedisServer } from '@lockstep/servers'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { openDatabase } from './adapters/pg-database.ts'
import { openReadModel, type RedisReadModel } from './adapters/redis-read-model.ts'
import { seedShop } from './adapters/seed.ts'
import { readContent } from './bestsellers/model-sql.ts'
import type { Database } from './database.ts'
import { decideOrder, failOrder, placeOrder, waitingOrders, type OrderLine } from './orders/orders.ts'
import { createDatabase, DEADLINE_MS, Scene } from './testing/scene.ts'
import { pgViewStore } from './view-counters/pg-view-store.ts'

let databaseUrl: string
let database: Database

beforeAll(async () => {
  databaseUrl = await createDatabase(inject('postgresUrl'))
  await seedShop(databaseUrl, { products: 20, categories: 3 })
  database = openDatabase({ databaseUrl, maxConnections: 4, statementTimeoutMs: 5_000 })
})
afterAll(() => database.close())

async function query(text: string, values: unknown[] = []): Promise<unknown[][]> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    return (await client.query({ text, values, rowMode: 'array' })).rows as unknown[][]
  } finally {
    await client.end()
  }
}

describe('api/view-counters on Postgres', () => {
  const views = (...offsets: number[]) => offsets.map((offset) => ({ offset: BigInt(offset), productId: 1 }))
  const count = async () => Number((await query('select views from view_counts where product_id = 1'))[0]?.[0] ?? 0)
  beforeEach(() => query('delete from view_counts'))

  test('the same records in whatever batches are counted once', async () => {
    const store = pgViewStore(database, randomUUID())
    expect(await store.add({ partition: 0, next: 3n, views: views(0, 1, 2) })).toBe(3)
    expect(await store.add({ partition: 0, next: 3n, views: views(0, 1, 2) })).toBe(0)
    expect(await store.add({ partition: 0, next: 5n, views: views(1, 2, 3, 4) })).toBe(2)
    expect(await count()).toBe(5)
  })

  test('two workers with one partition between them count a batch once', async () => {
    const store = pgViewStore(database, randomUUID())
    const twice = await Promise.all([1, 2].map(() => store.add({ partition: 0, next: 2n, views: views(0, 1) })))
    expect(twice.toSorted((a, b) => a - b)).toEqual([0, 2])
    expect(await count()).toBe(2)
  })

  test('partitions and logs have positions of their own; a product that is gone takes nothing down', async () => {
    const [one, two] = [pgViewStore(database, randomUUID()), pgViewStore(database, randomUUID())]
    await one.add({ partition: 0, next: 1n, views: views(0) })
    await one.add({ partition: 1, next: 1n, views: views(0) })
    await two.add({ partition: 0, next: 2n, views: [...views(0), { offset: 1n, productId: 4_040 }] })
    expect(await count()).toBe(3)
    expect(await one.known([1, 4_040])).toEqual(new Set([1]))
  })
})

describe('api/orders on Postgres', () => {
  const order = (lines: OrderLine[], key = randomUUID()) => ({ id: randomUUID(), customer: 'anna', key, lines })
  const available = async (id: number) =>
    Number((await query('select available from stock where product_id = $1', [id]))[0]?.[0])
  beforeEach(() => query('update stock set available = 10'))

  test('one key is one order: again the same, refused with another body, also when several come at once', async () => {
    const first = order([{ productId: 1, quantity: 2 }])
    const again = () => placeOrder(database, { ...first, id: randomUUID() })
    const placed = await Promise.all([placeOrder(database, first), again(), again(), again()])
    expect(placed.map(({ kind }) => kind).toSorted()).toEqual(['placed', 'replayed', 'replayed', 'replayed'])
    expect(new Set(placed.map((one) => ('order' in one ? one.order.id : ''))).size).toBe(1)
    expect(await placeOrder(database, { ...first, lines: [{ productId: 1, quantity: 3 }] })).toEqual({
      kind: 'mismatch',
    })
    expect(await placeOrder(database, { ...first, id: randomUUID(), customer: 'berta' })).toMatchObject({
      kind: 'placed',
    })
  })

  test('an order takes its lines out of stock once, however often and by however many it is decided', async () => {
    const { id, ...rest } = order([
      { productId: 2, quantity: 3 },
      { productId: 1, quantity: 4 },
    ])
    await placeOrder(database, { id, ...rest })
    const decided = await Promise.all([1, 2, 3].map(() => decideOrder(database, id)))
    expect(decided.map((one) => one?.state)).toEqual(['confirmed', 'confirmed', 'confirmed'])
    expect([await available(1), await available(2)]).toEqual([6, 7])
    expect(await query('select product_id::int, quantity from sales where order_id = $1 order by 1', [id])).toEqual([
      [1, 4],
      [2, 3],
    ])
  })

  test('an order that the stock cannot meet is rejected whole', async () => {
    const { id, ...rest } = order([
      { productId: 1, quantity: 4 },
      { productId: 2, quantity: 11 },
    ])
    await placeOrder(database, { id, ...rest })
    expect(await decideOrder(database, id)).toMatchObject({ state: 'rejected', reason: 'product 2: 10 in stock' })
    expect(await available(1)).toBe(10)
    expect(await decideOrder(database, randomUUID())).toBeNull()
  })

  test('of many that want the last one, one gets it', async () => {
    await query('update stock set available = 1 where product_id = 3')
    const orders = Array.from({ length: 8 }, () => order([{ productId: 3, quantity: 1 }]))
    for (const one of orders) await placeOrder(database, one)
    const states = await Promise.all(orders.map(async ({ id }) => (await decideOrder(database, id))?.state))
    expect(states.filter((state) => state === 'confirmed')).toHaveLength(1)
    expect(await available(3)).toBe(0)
  })

  test('what waits too long is handed out once per wait; what was given up or decided never', async () => {
    const [lost, failed] = [order([{ productId: 1, quantity: 1 }]), order([{ productId: 1, quantity: 1 }])]
    for (const one of [lost, failed]) await placeOrder(database, one)
    await failOrder(database, failed.id, 'no')
    await query(`update orders set sent_at = now() - interval '1 minute'`)
    expect(await waitingOrders(database, 5, 100)).toContain(lost.id)
    expect(await waitingOrders(database, 5, 100)).toEqual([])
    expect((await decideOrder(database, failed.id))?.state).toBe('failed')
  })
})

describe('api/bestsellers on Redis', () => {
  let redis: RedisServer
  let model: RedisReadModel
  beforeAll(async () => {
    redis = await startRedis({ needs: 'process' })
  })
  afterAll(() => redis.stop())
  beforeEach(async () => {
    model = openReadModel({ url: redis.url, namespace: randomUUID(), commandTimeoutMs: 1_000, failed: () => undefined })
    await model.ready()
  })
  afterEach(() => model.close())

  const empty = { sold: new Map(), categories: new Map() }
  const built = async () => (await model.build())?.name ?? ''

  test('there is no model until one is built; then it holds what the database does', async () => {
    expect(await model.bestsellers(10)).toBeNull()
    expect(await model.categoryCounts()).toBeNull()
    expect(await model.rebuild(() => readContent(database))).toBe(true)
    expect(await model.categoryCounts()).toEqual({ 1: 6, 2: 7, 3: 7 })
    const sold = await query('select product_id::int, sum(quantity)::int from sales group by 1 order by 2 desc, 1 desc')
    expect((await model.bestsellers(100))?.map(({ productId, sold: n }) => [productId, n])).toEqual(sold)
  })

  test('a batch moves counts and position in one step: twice it changes nothing', async () => {
    await model.rebuild(() => Promise.resolve({ snapshot: '1:1:', sold: { 1: 5 }, categories: { 1: 1 } }))
    const delta = {
      sold: new Map([
        ['1', 1],
        ['2', 9],
      ]),
      categories: new Map([
        ['1', -1],
        ['2', 1],
      ]),
    }
    const batch = { build: await built(), partition: 0, from: 3n, to: 5n, delta }
    expect(await model.apply(batch)).toEqual({ kind: 'applied' })
    expect(await model.apply(batch)).toEqual({ kind: 'stands', offset: 5n })
    expect(await model.bestsellers(10)).toEqual([
      { productId: 2, sold: 9 },
      { productId: 1, sold: 6 },
    ])
    expect(await model.categoryCounts()).toEqual({ 2: 1 })
  })

  test('nothing is added while a model is built, nor to one that is out of force', async () => {
    await model.rebuild(() => Promise.resolve({ snapshot: '1:1:', sold: {}, categories: {} }))
    const old = await built()
    const during: unknown[] = []
    await model.rebuild(async () => {
      during.push(await model.apply({ build: old, partition: 0, from: 0n, to: 1n, delta: empty }), await model.build())
      // Another one that would build at the same time lets it be.
      during.push(await model.rebuild(() => Promise.reject(new Error('never asked'))))
      return { snapshot: '2:2:', sold: {}, categories: {} }
    })
    expect(during).toEqual([{ kind: 'changed' }, null, false])
    expect(await model.apply({ build: old, partition: 0, from: 0n, to: 1n, delta: empty })).toEqual({ kind: 'changed' })
    expect(await built()).not.toBe(old)
  })

  test('a builder that was overtaken does not bring its older model into force', async () => {
    const other = openReadModel({
      url: redis.url,
      namespace: 'overtaken',
      commandTimeoutMs: 1_000,
      failed: () => undefined,
    })
    const late = openReadModel({
      url: redis.url,
      namespace: 'overtaken',
      commandTimeoutMs: 1_000,
      failed: () => undefined,
    })
    await Promise.all([other.ready(), late.ready()])
    const content = { snapshot: '1:1:', sold: {}, categories: {} }
    const isInForce = await late.rebuild(async () => {
      // Its right to build has run out meanwhile.
      const client = await import('ioredis').then(({ Redis }) => new Redis(redis.url))
      await client.del('{overtaken}:shop:builder')
      client.disconnect()
      expect(await other.rebuild(() => Promise.resolve({ ...content, snapshot: '9:9:' }))).toBe(true)
      return content
    })
    expect(isInForce).toBe(false)
    expect((await other.build())?.snapshot.xmax).toBe(9n)
    other.close()
    late.close()
  })
})

describe('api/queues in one process', () => {
  let scene: Scene
  beforeEach(async () => {
    scene = await Scene.open(inject('postgresUrl'))
  })
  afterEach(() => scene.close())

  test('without brokers the process itself counts views and decides orders', async () => {
    const api = await scene.start()
    const post = (path: string, body: object | null, headers: Record<string, string> = {}) =>
      fetch(api.url + path, {
        method: 'POST',
        headers: { ...(body ? { 'content-type': 'application/json' } : {}), authorization: 'Bearer anna', ...headers },
        ...(body ? { body: JSON.stringify(body) } : {}),
      })
    for (let view = 0; view < 5; view++) expect((await post('/products/1/views', null)).status).toBe(202)
    await waitFor(
      async () => Number((await scene.query('select sum(views) from view_counts'))[0]?.[0]) === 5,
      DEADLINE_MS,
    )

    const lines = [{ productId: 1, quantity: 1 }]
    expect((await post('/orders', { lines })).status).toBe(400)
    const placed = await post('/orders', { lines }, { 'idempotency-key': 'one' })
    expect(placed.status).toBe(202)
    expect(placed.headers.get('cache-control')).toBe('private, no-store')
    const location = placed.headers.get('location') ?? ''
    const again = await post('/orders', { lines }, { 'idempotency-key': 'one' })
    expect([again.status, again.headers.get('location'), again.headers.get('idempotency-replayed')]).toEqual([
      202,
      location,
      'true',
    ])
    const other = await post('/orders', { lines: [{ productId: 2, quantity: 1 }] }, { 'idempotency-key': 'one' })
    expect(other.status).toBe(422)
    const ask = (who: string) => fetch(api.url + location, { headers: { authorization: who } })
    await waitFor(
      async () => ((await (await ask('Bearer anna')).json()) as { state: string }).state === 'confirmed',
      DEADLINE_MS,
    )
    expect((await ask('Bearer berta')).status).toBe(404)
    expect((await fetch(`${api.url}/bestsellers`)).status).toBe(503)
  })
})
