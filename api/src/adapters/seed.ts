import pg from 'pg'
import { ACCOUNTS_SCHEMA } from './pg-accounts.ts'
import {
  SEED_CATEGORIES,
  SEED_DETAILS,
  SEED_PRODUCTS,
  SEED_SEQUENCE,
  SHOP_INDEXES,
  SHOP_SCHEMA,
} from '../schema-sql.ts'

/** How many rows a seeded shop has. */
export interface ShopCounts {
  readonly products: number
  readonly categories: number
}

/** The sizes that the shop is seeded in; the same size always gives the same rows. */
export const SHOP_SIZES = {
  '1k': { products: 1_000, categories: 20 },
  '100k': { products: 100_000, categories: 200 },
  '1m': { products: 1_000_000, categories: 1_000 },
} as const satisfies Readonly<Record<string, ShopCounts>>

// Any number, as long as every seeder takes the same lock: `create table if not exists` is not safe against itself.
const SEED_LOCK = 7_531_902

/** Creates the shop's tables where they are missing and fills them unless products exist. Repeatable, also concurrently. */
export async function seedShop(databaseUrl: string, { products, categories }: ShopCounts): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    await client.query('begin')
    await client.query('select pg_advisory_xact_lock($1)', [SEED_LOCK])
    await client.query(SHOP_SCHEMA)
    await client.query(ACCOUNTS_SCHEMA)
    const { rows } = await client.query<{ filled: boolean }>('select exists (select from public.products) as filled')
    if (rows[0]?.filled === false) {
      await client.query(SEED_CATEGORIES, [categories])
      await client.query(SEED_PRODUCTS, [products, categories])
      for (const text of SEED_DETAILS) await client.query(text, [products])
      await client.query(SEED_SEQUENCE)
    }
    await client.query(SHOP_INDEXES)
    await client.query('commit')
  } finally {
    await client.end()
  }
}
