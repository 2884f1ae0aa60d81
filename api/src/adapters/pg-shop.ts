import type { Database, Sql } from '../database.ts'
import { fail } from '../errors.ts'
import type { Category, Product, RecentChanges, ShopReads, ShopWrites } from '../ports.ts'

/**
 * Columns of a product, as `Product` names them. float8 carries every id that JSON can, where int4 would overflow; text keeps
 * the microseconds that a Date drops.
 */
export const COLUMNS = `id::float8 as id, name, price_cents as "priceCents", category_id::float8 as "categoryId", version,
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

/** Reads of the shop on a pool, or on one connection of a replica. */
export function shopReads({ rows }: Sql): ShopReads & RecentChanges {
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

/** Writes of the shop, on the primary. */
export function shopWrites(database: Database): ShopWrites {
  return {
    async create({ name, priceCents, categoryId }, editor) {
      const written = await database.write<Product>(CREATE, [name, priceCents, categoryId, editor])
      if (!written) throw fail('LOCKSTEP_API_NOT_WRITTEN')
      return written
    },
    update: (id, { name = null, priceCents = null, categoryId = null }, editor) =>
      database.write<Product>(UPDATE, [id, name, priceCents, categoryId, editor]),
    remove: (id) => database.write('delete from public.products where id = $1 returning id::float8 as id', [id]),
  }
}
