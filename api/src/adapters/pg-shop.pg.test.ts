import { afterAll, describe, expect, inject, test } from 'vitest'
import pg from 'pg'
import { clockOf, parseSnapshot } from '@lockstep/schemas'
import { createDatabase } from '../testing/scene.ts'
import { registerShopContract } from '../testing/shop-contract.ts'
import { openDatabase } from './pg-database.ts'
import { shopReads, shopWrites } from './pg-shop.ts'
import { seedShop } from './seed.ts'

const opened: { close(): Promise<void> }[] = []
afterAll(() => Promise.all(opened.map((database) => database.close())))

function open(databaseUrl: string, statementTimeoutMs = 5_000) {
  const database = openDatabase({ databaseUrl, maxConnections: 2, statementTimeoutMs })
  opened.push(database)
  return { ...shopReads(database), ...shopWrites(database) }
}

async function seeded(counts = { products: 0, categories: 2 }): Promise<string> {
  const url = await createDatabase(inject('postgresUrl'))
  await seedShop(url, counts)
  return url
}

async function query(url: string, text: string): Promise<unknown[][]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query({ text, rowMode: 'array' })).rows as unknown[][]
  } finally {
    await client.end()
  }
}

registerShopContract('the shop in Postgres', async () => open(await seeded()))

describe('api/pg-shop', () => {
  const ALL = 'select id, name, price_cents, category_id, version, updated_at from products order by id'

  test('the same counts seed the same rows, once, also when several seed at the same time', async () => {
    const counts = { products: 100, categories: 7 }
    const [one, two] = await Promise.all([seeded(counts), createDatabase(inject('postgresUrl'))])
    await Promise.all([seedShop(two, counts), seedShop(two, counts), seedShop(two, counts)])
    expect(await query(one, ALL)).toHaveLength(100)
    expect(await query(two, ALL)).toEqual(await query(one, ALL))
    const created = await open(one).create({ name: 'Next', priceCents: 1, categoryId: 7 }, null)
    expect(created.row.id).toBe(101)
    await seedShop(one, counts)
    expect(await query(one, ALL)).toHaveLength(101)
  })

  test('the replica identity of products carries the category and the name', async () => {
    const columns = `select a.attname from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
      where i.indrelid = 'products'::regclass and i.indisreplident order by 1`
    expect(await query(await seeded(), columns)).toEqual([['category_id'], ['id'], ['name']])
  })

  test('the clock of a write is not above that of a snapshot taken later', async () => {
    const url = await seeded()
    const { clock } = await open(url).create({ name: 'x', priceCents: 1, categoryId: 1 }, null)
    const [[snapshot]] = (await query(url, 'select pg_current_snapshot()::text')) as [[string]]
    expect(clock <= clockOf(parseSnapshot(snapshot))).toBe(true)
  })

  test('a statement that a lock holds up ends at its timeout and leaves the pool usable', async () => {
    const url = await seeded()
    const shop = open(url, 200)
    const { row } = await shop.create({ name: 'x', priceCents: 1, categoryId: 1 }, null)
    const locker = new pg.Client({ connectionString: url })
    await locker.connect()
    await locker.query('begin; select from products for update')
    const unreachable = expect.objectContaining({ code: 'LOCKSTEP_API_DATABASE_UNREACHABLE' })
    for (let round = 0; round < 3; round++)
      await expect(shop.update(row.id, { name: 'y' }, null)).rejects.toEqual(unreachable)
    await locker.query('rollback')
    await locker.end()
    expect((await shop.update(row.id, { name: 'y' }, null))?.row).toMatchObject({ name: 'y', version: 2 })
  })

  test('a database that is not there is unreachable, for reads and writes', async () => {
    const shop = open('postgres://nobody@127.0.0.1:1/none')
    const unreachable = expect.objectContaining({ code: 'LOCKSTEP_API_DATABASE_UNREACHABLE' })
    await expect(shop.product(1)).rejects.toEqual(unreachable)
    await expect(shop.remove(1)).rejects.toEqual(unreachable)
  })
})
