import type pg from 'pg'
import type { LeafFacts, TableFacts } from '../source-facts.ts'

// Rule tables and the partitions below them that hold rows. A deferrable primary key is no replica identity.
const RELATIONS = `
with named as (
  select c.oid, c.oid as root from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname || '.' || c.relname = any ($1) and c.relkind in ('r', 'p', 'v', 'm', 'f')
), relations as (
  select oid, root from named
  union all
  select t.relid, named.oid from named cross join pg_partition_tree(named.oid) t where t.isleaf and t.relid <> named.oid
)
select r.root, r.oid <> r.root as leaf, n.nspname || '.' || c.relname as name, c.relkind as kind, c.relreplident as identity,
  c.relpersistence = 'u' as unlogged, pg_has_role(c.relowner, 'usage') as owned,
  a.columns, a.generated, a.not_null, coalesce(pk.columns, '{}') as key, ident.columns as identity_columns,
  (select tn.nspname || '.' || t.relname from pg_class t join pg_namespace tn on tn.oid = t.relnamespace
    where c.relispartition and t.oid = pg_partition_root(c.oid)) as top,
  array(select kn.nspname || '.' || k.relname from pg_inherits h join pg_class k on k.oid = h.inhrelid
    join pg_namespace kn on kn.oid = k.relnamespace where h.inhparent = c.oid and not k.relispartition) as children,
  (select x.relname from pg_index i join pg_class x on x.oid = i.indexrelid join pg_index top
      on top.indrelid = r.root and top.indisreplident and pg_partition_root(i.indexrelid) = top.indexrelid
    where i.indrelid = c.oid and r.root <> c.oid limit 1) as root_index
from relations r join pg_class c on c.oid = r.oid join pg_namespace n on n.oid = c.relnamespace
cross join lateral (
  select coalesce(array_agg(attname::text order by attnum), '{}') as columns,
    coalesce(array_agg(attname::text order by attnum) filter (where attgenerated <> ''), '{}') as generated,
    coalesce(array_agg(attname::text order by attnum) filter (where attnotnull), '{}') as not_null
  from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped) a
left join lateral (
  select array_agg(k.attname::text order by p.position) as columns, bool_and(i.indimmediate) as immediate
  from pg_index i cross join unnest(i.indkey) with ordinality p(attnum, position)
  join pg_attribute k on k.attrelid = c.oid and k.attnum = p.attnum
  where i.indrelid = c.oid and i.indisprimary) pk on true
cross join lateral (
  select case c.relreplident when 'f' then a.columns
    when 'd' then case when pk.immediate then pk.columns else '{}' end
    when 'i' then array(select k.attname::text from pg_index i join pg_attribute k
      on k.attrelid = c.oid and k.attnum = any (i.indkey) where i.indrelid = c.oid and i.indisreplident)
    else '{}' end as columns) ident
order by r.root, leaf, name`

const KINDS = { r: 'table', p: 'partitioned', v: 'view', m: 'materialized view', f: 'foreign table' } as const

interface RelationRow {
  readonly root: number
  readonly leaf: boolean
  readonly name: string
  readonly kind: keyof typeof KINDS
  readonly identity: TableFacts['identity']
  readonly unlogged: boolean
  readonly owned: boolean
  readonly columns: readonly string[]
  readonly generated: readonly string[]
  readonly not_null: readonly string[]
  readonly key: readonly string[]
  readonly identity_columns: readonly string[]
  readonly top: string | null
  readonly children: readonly string[]
  readonly root_index: string | null
}

/** Reads the tables of these names, `schema.table`; those that do not exist are left out. */
export async function readTables(
  client: pg.Client,
  names: readonly string[],
): Promise<ReadonlyMap<string, TableFacts>> {
  const { rows } = await client.query<RelationRow>(RELATIONS, [names])
  const leaves = rows.filter(({ leaf }) => leaf)
  const tables = rows.filter(({ leaf }) => !leaf)
  const leavesOf = ({ root }: RelationRow) => leaves.filter((leaf) => leaf.root === root)
  return new Map(tables.map((row) => [row.name, tableOf(row, leavesOf(row))]))
}

const identityOf = ({ name, identity, identity_columns, unlogged }: RelationRow) => ({
  name,
  identity,
  identityColumns: identity_columns,
  isUnlogged: unlogged,
})

function tableOf(row: RelationRow, leaves: readonly RelationRow[]): TableFacts {
  return {
    ...identityOf(row),
    oid: row.root,
    kind: KINDS[row.kind],
    columns: row.columns,
    generatedColumns: row.generated,
    notNullColumns: row.not_null,
    primaryKey: row.key,
    isOwned: row.owned,
    root: row.top,
    children: row.children,
    leaves: leaves.map((leaf): LeafFacts => ({
      ...identityOf(leaf),
      isForeign: leaf.kind === 'f',
      rootIndex: leaf.root_index,
    })),
  }
}
