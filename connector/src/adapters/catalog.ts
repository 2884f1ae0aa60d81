import type pg from 'pg'
import type { Catalog, CatalogFacts, PublicationFacts, ServerIdentity, SlotFacts, TableFacts } from '../ports.ts'

export interface CatalogOptions {
  readonly client: pg.Client
  readonly slot: string
  readonly publication: string
  /** Asks a replication connection who it reaches; resolves to the error's text where it is refused. */
  readonly identify: () => Promise<ServerIdentity | string>
}

// A standby has no insert position; its timeline is that of the last checkpoint.
const SERVER = `
select current_setting('server_version_num')::int as version, current_setting('wal_level') as wal_level,
  pg_is_in_recovery() as in_recovery, (select system_identifier::text from pg_control_system()) as system_id,
  case when pg_is_in_recovery() then (select timeline_id from pg_control_checkpoint())
    else ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int end as timeline,
  current_user as role, current_database() as database,
  (select rolreplication or rolsuper from pg_roles where rolname = current_user)
    or exists (select from pg_roles where rolname = 'rds_replication' and pg_has_role(oid, 'member')) as may_replicate,
  has_database_privilege(current_database(), 'create') as may_create,
  to_regclass('lockstep.epoch') is not null as has_epoch,
  current_setting('max_replication_slots')::int - (select count(*)::int from pg_replication_slots) as free_slots,
  current_setting('max_wal_senders')::int - (select count(*)::int from pg_stat_replication) as free_senders,
  (select setting::int from pg_settings where name = 'max_slot_wal_keep_size') as keep_mb,
  current_setting('synchronous_standby_names') as standbys`
const SLOT = `
select plugin, database, active, coalesce(wal_status = 'lost', false) as lost from pg_replication_slots where slot_name = $1`
const PUBLICATION = `
select pubviaroot as via_root, pubinsert as insert, pubupdate as update, pubdelete as delete, pubtruncate as truncate
from pg_publication where pubname = $1`
// As JSON, because the columns attnames and rowfilter came with PG 15.
const PUBLISHED = `select to_jsonb(p) as entry from pg_publication_tables p where pubname = $1`
// Which tables, and of a table that was named its membership, with column list and row filter; not the columns that it happens
// to have: one more is no gap. A table that was taken out and put back has another membership.
const PRINT = `
select p.oid || ':' || md5(concat_ws(';', p.pubviaroot, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate,
  (select string_agg(concat(t.schemaname, '.', t.tablename, c.oid), ';' order by t.schemaname, t.tablename)
    from pg_publication_tables t join pg_namespace n on n.nspname = t.schemaname
    join pg_class c on c.relnamespace = n.oid and c.relname = t.tablename where t.pubname = p.pubname),
  (select string_agg(to_jsonb(r)::text, ';' order by r.prrelid) from pg_publication_rel r where r.prpubid = p.oid))) as print
from pg_publication p where pubname = $1`
const TABLES = `
select c.oid, n.nspname || '.' || c.relname as name, c.relreplident as identity, c.relpersistence = 'u' as unlogged,
  c.relkind = 'p' as partitioned, pg_has_role(c.relowner, 'usage') as owned,
  array(select attname::text from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped
    order by attnum) as columns,
  array(select a.attname::text from pg_index i cross join unnest(i.indkey) with ordinality k(attnum, position)
    join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
    where i.indrelid = c.oid and i.indisprimary order by k.position) as key,
  array(select a.attname::text from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attnum = any (i.indkey)
    where i.indrelid = c.oid and i.indisreplident) as index_columns
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname || '.' || c.relname = any ($1) and c.relkind in ('r', 'p')`

interface ServerRow {
  readonly version: number
  readonly wal_level: string
  readonly in_recovery: boolean
  readonly system_id: string
  readonly timeline: number
  readonly role: string
  readonly database: string
  readonly may_replicate: boolean
  readonly may_create: boolean
  readonly has_epoch: boolean
  readonly free_slots: number
  readonly free_senders: number
  readonly keep_mb: number
  readonly standbys: string
}

/** Reads the system catalog over an ordinary connection. */
export function createCatalog({ client, slot, publication, identify }: CatalogOptions): Catalog {
  return {
    async facts(tables): Promise<CatalogFacts> {
      const server = (await client.query<ServerRow>(SERVER)).rows[0] as ServerRow
      return {
        serverVersion: server.version,
        walLevel: server.wal_level,
        isInRecovery: server.in_recovery,
        sql: { systemId: server.system_id, timeline: server.timeline },
        replication: await identify(),
        role: server.role,
        database: server.database,
        mayReplicate: server.may_replicate,
        mayCreate: server.may_create,
        hasEpochTable: server.has_epoch,
        freeSlots: server.free_slots,
        freeSenders: server.free_senders,
        slot: await readSlot(client, slot),
        publication: await readPublication(client, publication),
        tables: await readTables(client, tables),
        maxSlotWalKeepMb: server.keep_mb,
        synchronousStandbys: server.standbys,
      }
    },
    async publicationPrint() {
      const { rows } = await client.query<{ print: string }>(PRINT, [publication])
      return rows[0]?.print ?? ''
    },
  }
}

async function readSlot(client: pg.Client, name: string): Promise<SlotFacts | undefined> {
  const { rows } = await client.query<{ plugin: string; database: string; active: boolean; lost: boolean }>(SLOT, [
    name,
  ])
  const row = rows[0]
  if (row === undefined) return undefined
  return { plugin: row.plugin, database: row.database, isActive: row.active, isLost: row.lost }
}

const OPERATIONS = ['insert', 'update', 'delete', 'truncate'] as const

interface PublishedTable {
  readonly schemaname: string
  readonly tablename: string
  readonly attnames?: readonly string[] | null
  readonly rowfilter?: string | null
}

async function readPublication(client: pg.Client, name: string): Promise<PublicationFacts | undefined> {
  type Row = Readonly<Record<(typeof OPERATIONS)[number] | 'via_root', boolean>>
  const row = (await client.query<Row>(PUBLICATION, [name])).rows[0]
  if (row === undefined) return undefined
  const entries = (await client.query<{ entry: PublishedTable }>(PUBLISHED, [name])).rows.map(({ entry }) => entry)
  const nameOf = ({ schemaname, tablename }: PublishedTable): string => `${schemaname}.${tablename}`
  return {
    viaRoot: row.via_root,
    publishes: new Set(OPERATIONS.filter((operation) => row[operation])),
    tables: new Map(entries.map((entry) => [nameOf(entry), entry.attnames ?? null])),
    filtered: entries.filter(({ rowfilter }) => typeof rowfilter === 'string').map(nameOf),
  }
}

interface TableRow {
  readonly oid: number
  readonly name: string
  readonly identity: TableFacts['identity']
  readonly unlogged: boolean
  readonly partitioned: boolean
  readonly owned: boolean
  readonly columns: readonly string[]
  readonly key: readonly string[]
  readonly index_columns: readonly string[]
}

async function readTables(client: pg.Client, names: readonly string[]): Promise<ReadonlyMap<string, TableFacts>> {
  const { rows } = await client.query<TableRow>(TABLES, [names])
  return new Map(rows.map((row) => [row.name, tableOf(row)]))
}

function tableOf(row: TableRow): TableFacts {
  const identityColumns = { d: row.key, n: [], f: row.columns, i: row.index_columns }[row.identity]
  return {
    oid: row.oid,
    columns: row.columns,
    primaryKey: row.key,
    identity: row.identity,
    identityColumns,
    isUnlogged: row.unlogged,
    isPartitioned: row.partitioned,
    isOwned: row.owned,
  }
}
