import type { Sql } from '../database.ts'
import type { ModelContent } from './read-model.ts'

// One statement has one snapshot, so the counts are exactly what the snapshot sees.
const CONTENT = `select pg_current_snapshot()::text as snapshot,
  (select coalesce(json_object_agg(category_id, n), '{}') from (
    select category_id, count(*) as n from public.products group by category_id
  ) counted) as categories,
  (select coalesce(json_object_agg(product_id, n), '{}') from (
    select product_id, sum(quantity) as n from public.sales group by product_id
  ) summed) as sold`

/** Reads what the model is built from. */
export async function readContent(database: Sql): Promise<ModelContent> {
  const [content] = await database.rows<ModelContent>('read-model', CONTENT)
  return content ?? { snapshot: '', categories: {}, sold: {} }
}
