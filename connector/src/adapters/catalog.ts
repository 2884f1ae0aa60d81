import type pg from 'pg'
import { parseLsn } from '@lockstep/schemas'
import type { Catalog, CatalogFacts, PublicationFacts, ServerIdentity, SlotFacts } from '../ports.ts'
import { readServer } from './catalog-server.ts'
import { readTables } from './catalog-tables.ts'
import { readVitals } from './vitals.ts'

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
  current_setting('max_replication_slots')::int - (select count(*)::int from pg_replication_slots) as free_slots,
  current_setting('max_wal_senders')::int - (select count(*)::int from pg_stat_replication) as free_senders,
  (select setting::int from pg_settings where name = 'max_slot_wal_keep_size') as keep_mb,
  current_setting('synchronous_standby_names') as standbys`
// As JSON, because some columns came with PG 17.
const SLOT = `
select to_jsonb(s) as slot, coalesce((select application_name from pg_stat_activity where pid = s.active_pid), '') as consumer
from pg_replication_slots s where slot_name = $1`
const PUBLICATION = `
select puballtables as all_tables, pubviaroot as via_root, pubinsert as insert, pubupdate as update, pubdelete as delete, pubtruncate as truncate
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
        freeSlots: server.free_slots,
        freeSenders: server.free_senders,
        slot: await readSlot(client, slot),
        publication: await readPublication(client, publication),
        tables: await readTables(client, tables),
        maxSlotWalKeepMb: server.keep_mb,
        synchronousStandbys: server.standbys,
        server: await readServer(client),
      }
    },
    publicationPrint: () => readPrint(client, publication),
    async vitals() {
      return { ...(await readVitals(client, slot)), publication: await readPrint(client, publication) }
    },
  }
}

async function readPrint(client: pg.Client, publication: string): Promise<string> {
  const { rows } = await client.query<{ print: string }>(PRINT, [publication])
  return rows[0]?.print ?? ''
}

interface SlotRow {
  readonly consumer: string
  readonly slot: {
    /** null for a physical slot, like its database. */
    readonly plugin: string | null
    readonly database: string | null
    readonly active: boolean
    readonly temporary: boolean
    readonly two_phase: boolean
    readonly confirmed_flush_lsn: string | null
    readonly wal_status: string | null
    /** 17 and newer. */
    readonly invalidation_reason?: string | null
    /** 16 and newer. */
    readonly conflicting?: boolean | null
    readonly failover?: boolean
  }
}

async function readSlot(client: pg.Client, name: string): Promise<SlotFacts | undefined> {
  const row = (await client.query<SlotRow>(SLOT, [name])).rows[0]
  if (row === undefined) return undefined
  const { slot, consumer } = row
  const reason = slot.invalidation_reason ?? (slot.conflicting === true ? 'conflicting' : '')
  return {
    plugin: slot.plugin ?? 'no plugin',
    database: slot.database ?? '',
    isActive: slot.active,
    consumer,
    isLost: slot.wal_status === 'lost' || reason !== '',
    confirmed: slot.confirmed_flush_lsn === null ? null : parseLsn(slot.confirmed_flush_lsn),
    walStatus: [slot.wal_status ?? 'unknown', reason].filter((text) => text !== '').join(', '),
    isTemporary: slot.temporary,
    isTwoPhase: slot.two_phase,
    isFailover: slot.failover ?? false,
  }
}

const OPERATIONS = ['insert', 'update', 'delete', 'truncate'] as const

interface PublishedTable {
  readonly schemaname: string
  readonly tablename: string
  readonly attnames?: readonly string[] | null
  readonly rowfilter?: string | null
}

async function readPublication(client: pg.Client, name: string): Promise<PublicationFacts | undefined> {
  type Row = Readonly<Record<(typeof OPERATIONS)[number] | 'via_root' | 'all_tables', boolean>>
  const row = (await client.query<Row>(PUBLICATION, [name])).rows[0]
  if (row === undefined) return undefined
  const entries = (await client.query<{ entry: PublishedTable }>(PUBLISHED, [name])).rows.map(({ entry }) => entry)
  const nameOf = ({ schemaname, tablename }: PublishedTable): string => `${schemaname}.${tablename}`
  return {
    isForAllTables: row.all_tables,
    viaRoot: row.via_root,
    publishes: new Set(OPERATIONS.filter((operation) => row[operation])),
    tables: new Map(entries.map((entry) => [nameOf(entry), entry.attnames ?? null])),
    filtered: entries.filter(({ rowfilter }) => typeof rowfilter === 'string').map(nameOf),
  }
}
