import { clockOf, parseSnapshot } from '@lockstep/schemas'
import pg from 'pg'
import { fail } from '../errors.ts'
import type { Category, PoolUse, Product, RecentChanges, ShopReads, ShopWrites, Written } from '../ports.ts'

// float8 carries every id that JSON can, where int4 would overflow; text keeps the microseconds that a Date drops.
const COLUMNS = `id::float8 as id, name, price_cents as "priceCents", category_id::float8 as "categoryId", version,
  to_char(updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "updatedAt"`

/** Notes the editor $N of what `written` holds, in the statement that writes it. */
const noteEdit = (parameter: string): string => `
  noted as (
    insert into public.edits (editor, product_id) select ${parameter}::text, id from written where ${parameter} is not null
    on conflict (editor, product_id) do update set edited_at = now()
  )`

const CREATE = `with written as (
    insert into public.products (name, price_cents, category_id) values ($1, $2, $3) returning *
  ), ${noteEdit('$4')} select ${COLUMNS} from written`

const UPDATE = `with written as (
    update public.products set name = coalesce($2, name), price_cents = coalesce($3, price_cents),
      category_id = coalesce($4, category_id), version = version + 1, updated_at = now()
    where id = $1 returning *
  ), ${noteEdit('$5')} select ${COLUMNS} from written`

const CHANGED_BY = `select ${COLUMNS} from public.edits join public.products on id = product_id
  where editor = $1 order by edited_at desc, id desc limit $2`

const FOREIGN_KEY_VIOLATION = '23503'
// SQLSTATE classes: connection exception, insufficient resources, operator intervention (shutdown, statement timeout).
const UNAVAILABLE = /^(?:08|53|57)/
// A statement that the server should have ended by now: the network is gone.
const NETWORK_GRACE_MS = 1_000

/** Options of the pool. The admission limit of the cache stands before it; this bound is the last line. */
export interface ShopPoolOptions {
  readonly databaseUrl: string
  readonly maxConnections: number
  /** Longest statement, and longest wait for a connection, ms. */
  readonly statementTimeoutMs: number
}

/** The shop's database. */
export interface Shop extends ShopReads, ShopWrites, RecentChanges {
  use(): PoolUse
  /** Waits for running statements. */
  close(): Promise<void>
}

/** Opens the shop's database. Connections are made on demand. */
export function openShop(options: ShopPoolOptions): Shop {
  const pool = new pg.Pool({
    connectionString: options.databaseUrl,
    max: options.maxConnections,
    statement_timeout: options.statementTimeoutMs,
    query_timeout: options.statementTimeoutMs + NETWORK_GRACE_MS,
    connectionTimeoutMillis: options.statementTimeoutMs,
    keepAlive: true,
    application_name: 'lockstep-api',
  })
  // An idle connection that breaks is replaced on demand; the statement that needs one reports its own failure.
  pool.on('error', () => undefined)
  const use = (): PoolUse => ({
    total: pool.totalCount,
    idle: pool.idleCount,
    waiting: pool.waitingCount,
    limit: options.maxConnections,
  })
  return { ...reads(pool), ...writes(pool), use, close: () => pool.end() }
}

/** Says what a failure of the driver means. */
function classify(cause: unknown): unknown {
  if (!(cause instanceof pg.DatabaseError)) return fail('LOCKSTEP_API_DATABASE_UNREACHABLE', {}, cause)
  if (cause.code === FOREIGN_KEY_VIOLATION) return fail('LOCKSTEP_API_UNKNOWN_CATEGORY', {}, cause)
  return UNAVAILABLE.test(cause.code ?? '') ? fail('LOCKSTEP_API_DATABASE_UNREACHABLE', {}, cause) : cause
}

function reads(pool: pg.Pool): ShopReads & RecentChanges {
  const rows = async <T extends pg.QueryResultRow>(
    name: string,
    text: string,
    values: unknown[] = [],
  ): Promise<T[]> => {
    try {
      return (await pool.query<T>({ name, text, values })).rows
    } catch (cause) {
      throw classify(cause)
    }
  }
  return {
    async product(id) {
      const [row] = await rows<Product>('product', `select ${COLUMNS} from public.products where id = $1`, [id])
      return row ?? null
    },
    async productsOf(categoryId, limit) {
      const text = `select ${COLUMNS} from public.products where category_id = $1 order by public.products.id limit $2`
      const products = await rows<Product>('products-of', text, [categoryId, limit])
      if (products.length > 0) return products
      const known = await rows('category', 'select from public.categories where id = $1', [categoryId])
      return known.length > 0 ? [] : null
    },
    categories: () =>
      rows<Category>('categories', 'select id::float8 as id, name from public.categories c order by c.id'),
    changedBy: (editor, limit) => rows<Product>('changed-by', CHANGED_BY, [editor, limit]),
  }
}

function writes(pool: pg.Pool): ShopWrites {
  const write = async <T extends pg.QueryResultRow>(text: string, values: unknown[]): Promise<Written<T> | null> => {
    const client = await pool.connect().catch((cause: unknown) => {
      throw classify(cause)
    })
    let isBroken = false
    try {
      // One statement is one transaction; the snapshot is taken after its commit, so it sees the write.
      const row = (await client.query<T>(text, values)).rows[0]
      if (!row) return null
      const snapshot = await client.query<{ s: string }>('select pg_current_snapshot()::text as s')
      return { row, clock: clockOf(parseSnapshot(snapshot.rows[0]?.s ?? '')) }
    } catch (cause) {
      // What the server did not refuse may still be running there: nobody else may get this connection.
      isBroken = !(cause instanceof pg.DatabaseError)
      throw classify(cause)
    } finally {
      client.release(isBroken)
    }
  }
  return {
    async create({ name, priceCents, categoryId }, editor) {
      const written = await write<Product>(CREATE, [name, priceCents, categoryId, editor])
      if (!written) throw fail('LOCKSTEP_API_NOT_WRITTEN')
      return written
    },
    update: (id, { name = null, priceCents = null, categoryId = null }, editor) =>
      write<Product>(UPDATE, [id, name, priceCents, categoryId, editor]),
    remove: (id) => write('delete from public.products where id = $1 returning id::float8 as id', [id]),
  }
}
