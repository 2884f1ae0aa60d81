import type pg from 'pg'
import { SETTINGS } from '../source-facts.ts'
import type { Access, LongTransaction, Provider, ServerFacts, SettingName } from '../source-facts.ts'

// What every session calls; where a signature has a variant for bytea, that one is not used.
const FUNCTIONS = [
  'pg_current_snapshot',
  'pg_current_wal_insert_lsn',
  'pg_current_wal_lsn',
  'pg_logical_emit_message',
  'pg_create_logical_replication_slot',
  'pg_drop_replication_slot',
  'pg_terminate_backend',
  'pg_try_advisory_lock',
]
/** Transactions open for longer hold back the slot's catalog and the making of a new slot. */
const LONG_SECONDS = 300

// Schema and table by pg_class: to_regclass raises an error where the role may not use the schema.
const SERVER = `
select pg_backend_pid() as pid,
  (select rolsuper from pg_roles where rolname = current_user) as superuser,
  (select case rolname when 'rds_superuser' then 'rds' when 'azure_pg_admin' then 'azure' else 'cloudsql' end from pg_roles
    where rolname in ('rds_superuser', 'azure_pg_admin', 'cloudsqlsuperuser', 'alloydbsuperuser') limit 1) as provider,
  (select coalesce(jsonb_object_agg(name, setting), '{}') from pg_settings where name = any ($1)) as settings,
  pg_has_role('pg_read_all_stats', 'usage') as sees_all,
  (select coalesce(jsonb_agg(jsonb_build_object('signature', p.oid::regprocedure::text,
      'mayExecute', has_function_privilege(p.oid, 'execute'))), '[]')
    from pg_proc p where p.pronamespace = 'pg_catalog'::regnamespace and p.proname = any ($2)
      and 'bytea'::regtype <> all (p.proargtypes::oid[]) and not has_function_privilege('public', p.oid, 'execute')) as restricted,
  (select case when has_schema_privilege(oid, 'usage') and has_schema_privilege(oid, 'create') then 'granted'
    else 'denied' end from pg_namespace where nspname = 'lockstep') as schema,
  (select case when has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
      and has_table_privilege(c.oid, 'insert') and has_table_privilege(c.oid, 'update') then case
        when pg_has_role(c.relowner, 'usage')
          or exists (select from pg_attribute where attrelid = c.oid and attname = 'gaps') then 'granted'
        else 'outdated' end
      else 'denied' end
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'lockstep' and c.relname = 'epoch') as epoch,
  (select coalesce(jsonb_agg(t order by t."openSeconds" desc), '[]') from (
    select pid, null as gid, datname as database, extract(epoch from clock_timestamp() - xact_start)::int as "openSeconds"
    from pg_stat_activity where backend_type = 'client backend' and coalesce(backend_xid, backend_xmin) is not null
    union all
    select null, gid, database, extract(epoch from clock_timestamp() - prepared)::int from pg_prepared_xacts) t
    where t."openSeconds" > $3) as long_transactions`

interface ServerRow {
  readonly pid: number
  readonly superuser: boolean
  readonly provider: Provider | null
  readonly settings: Partial<Record<SettingName, string>>
  readonly sees_all: boolean
  readonly restricted: ServerFacts['restricted']
  readonly schema: Access | null
  readonly epoch: ServerFacts['epochTable'] | null
  readonly long_transactions: readonly LongTransaction[]
}

/** Reads what `ServerFacts` holds. @param longSeconds is shorter in tests. */
export async function readServer(client: pg.Client, longSeconds = LONG_SECONDS): Promise<ServerFacts> {
  const row = (await client.query<ServerRow>(SERVER, [SETTINGS, FUNCTIONS, longSeconds])).rows[0] as ServerRow
  // A pooler makes up the process that it names at the start, to route requests to cancel.
  const { processID } = client as unknown as { processID?: number | null }
  return {
    provider: row.provider ?? undefined,
    isSuperuser: row.superuser,
    settings: Object.fromEntries(SETTINGS.map((name) => [name, row.settings[name] ?? ''])) as ServerFacts['settings'],
    isPooled: typeof processID === 'number' && processID !== row.pid,
    seesAllSessions: row.sees_all,
    longTransactions: row.long_transactions,
    restricted: row.restricted,
    schema: row.schema ?? 'absent',
    epochTable: row.epoch ?? 'absent',
  }
}
