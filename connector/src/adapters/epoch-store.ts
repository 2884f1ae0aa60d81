import type pg from 'pg'
import { parseLsn } from '@lockstep/schemas'
import type { Epoch, EpochStore } from '../ports.ts'

/** Makes the table; run it on a database that has the schema. */
export const CREATE_EPOCH_TABLE = `create table if not exists lockstep.epoch (
  namespace text primary key,
  generation bigint not null,
  system_id text not null,
  timeline integer not null,
  slot_name text not null,
  publication text not null,
  announced boolean not null,
  updated_at timestamptz not null default now(),
  confirmable pg_lsn,
  gaps timestamptz[] not null default '{}'
)`
/** Brings a table up to date that was made before these columns were; only its owner may. */
export const UPGRADE_EPOCH_TABLE = `alter table lockstep.epoch add column if not exists confirmable pg_lsn, add column if not exists gaps timestamptz[] not null default '{}'`
// Not IF NOT EXISTS alone: that asks for the right to create even when nothing is missing.
const EXISTING = `
select n.nspname as schema, c.relname as table,
  exists (select from pg_attribute where attrelid = c.oid and attname = 'gaps') as is_current from pg_namespace n
left join pg_class c on c.relnamespace = n.oid and c.relname = 'epoch' where n.nspname = 'lockstep'`
const RECENT = `select g from unnest(gaps) g where g > clock_timestamp() - interval '1 hour'`
const COLUMNS = `generation::text, system_id, timeline, slot_name, publication, announced, confirmable::text,
  (select count(*)::int from (${RECENT}) r) as recent_gaps`
const READ = `select ${COLUMNS} from lockstep.epoch where namespace = $1`
// One statement, so that two connectors can never own the same generation. The first one is the server's clock in seconds:
// a database made anew must not repeat generations that Redis, tokens and processes still hold of its predecessor, whose
// clocks lie above all that it will reach for long. 32 bits of seconds last until 2106.
const RAISE = `
insert into lockstep.epoch as e (namespace, generation, system_id, timeline, slot_name, publication, announced)
values ($1, greatest($2::bigint, floor(extract(epoch from clock_timestamp()))::bigint) + $3::bigint, $4, $5, $6, $7, false)
on conflict (namespace) do update set
  generation = greatest(e.generation, $2::bigint) + $3::bigint, system_id = excluded.system_id,
  timeline = excluded.timeline, slot_name = excluded.slot_name, publication = excluded.publication,
  announced = false, updated_at = now(), gaps = array(select g from unnest(e.gaps) g
    where g > clock_timestamp() - interval '1 hour') || case when $8 then array[clock_timestamp()] else '{}' end
returning ${COLUMNS}`
// A newer raise must not look announced because an older flush was.
const ANNOUNCE = `update lockstep.epoch set announced = true, updated_at = now() where namespace = $1 and generation = $2`
const RESERVE = `
update lockstep.epoch set confirmable = pg_current_wal_insert_lsn() where namespace = $1 returning confirmable::text`

interface EpochRow {
  readonly generation: string
  readonly system_id: string
  readonly timeline: number
  readonly slot_name: string
  readonly publication: string
  readonly announced: boolean
  readonly confirmable: string | null
  readonly recent_gaps: number
}

/** Keeps generations in `lockstep.epoch` of the source database. */
export function createEpochStore(client: pg.Client, namespace: string): EpochStore {
  return {
    async read() {
      const [found] = (await client.query<{ table: string | null; is_current: boolean }>(EXISTING)).rows
      if (found === undefined) await client.query('create schema if not exists lockstep')
      if (typeof found?.table !== 'string') await client.query(CREATE_EPOCH_TABLE)
      else if (!found.is_current) await client.query(UPGRADE_EPOCH_TABLE)
      const { rows } = await client.query<EpochRow>(READ, [namespace])
      return rows[0] === undefined ? undefined : epochOf(rows[0])
    },
    async raise({ above, step, systemId, timeline, slot, publication, isGap }) {
      const { rows } = await client.query<EpochRow>(RAISE, [
        namespace,
        above,
        step,
        systemId,
        timeline,
        slot,
        publication,
        isGap,
      ])
      return epochOf(rows[0] as EpochRow)
    },
    async markAnnounced(generation) {
      await client.query(ANNOUNCE, [namespace, generation])
    },
    async reserve() {
      const { rows } = await client.query<{ confirmable: string }>(RESERVE, [namespace])
      return parseLsn((rows[0] as { confirmable: string }).confirmable)
    },
  }
}

function epochOf(row: EpochRow): Epoch {
  return {
    generation: Number(row.generation),
    systemId: row.system_id,
    timeline: row.timeline,
    slot: row.slot_name,
    publication: row.publication,
    announced: row.announced,
    confirmable: row.confirmable === null ? null : parseLsn(row.confirmable),
    recentGaps: row.recent_gaps,
  }
}
