import type { Database, Sql } from '../database.ts'
import type { ViewBatch, ViewStore } from './view-counters.ts'

const KNOWN = 'select id::float8 as id from public.products where id = any ($1::bigint[])'
const BEGIN = `insert into public.log_positions (consumer, partition, next_offset) values ($1, $2, 0)
  on conflict (consumer, partition) do nothing`
const POSITION = `select next_offset::text as position from public.log_positions
  where consumer = $1 and partition = $2 for update`
const ADVANCE = 'update public.log_positions set next_offset = $3 where consumer = $1 and partition = $2'
// In the order of ids, so that two partitions cannot wait for each other; of products that still exist.
const ADD = `insert into public.view_counts (product_id, views)
  select id, n from unnest($1::bigint[], $2::bigint[]) as viewed (id, n)
  where exists (select from public.products p where p.id = viewed.id) order by id
  on conflict (product_id) do update set views = view_counts.views + excluded.views`

/** Counters in Postgres. `consumer` names the log that positions belong to: offsets of another log mean nothing here. */
export function pgViewStore(database: Database, consumer: string): ViewStore {
  return {
    async known(productIds) {
      if (productIds.length === 0) return new Set()
      const found = await database.rows<{ id: number }>('views-known', KNOWN, [productIds])
      return new Set(found.map(({ id }) => id))
    },
    async add(batch) {
      const { row } = await database.transact((sql) => addIn(sql, consumer, batch))
      return row
    },
  }
}

async function addIn(sql: Sql, consumer: string, { partition, next, views }: ViewBatch): Promise<number> {
  await sql.rows('views-begin', BEGIN, [consumer, partition])
  const [stored] = await sql.rows<{ position: string }>('views-position', POSITION, [consumer, partition])
  const position = BigInt(stored?.position ?? 0)
  if (next <= position) return 0
  const fresh = views.filter(({ offset }) => offset >= position)
  const counts = new Map<number, number>()
  for (const { productId } of fresh) counts.set(productId, (counts.get(productId) ?? 0) + 1)
  await sql.rows('views-add', ADD, [[...counts.keys()], [...counts.values()]])
  await sql.rows('views-advance', ADVANCE, [consumer, partition, next.toString()])
  return fresh.length
}
