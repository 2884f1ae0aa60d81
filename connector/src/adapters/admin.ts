import type pg from 'pg'
import { MESSAGE_PREFIX } from '../liveness.ts'
import type { SlotAdmin, SourceAdmin } from '../ports.ts'
import { quoteTable } from '../quote.ts'

export interface AdminOptions {
  readonly client: pg.Client
  readonly slot: string
  /** Checked by the option table: lower-case letters, digits and underscores. */
  readonly publication: string
  /** The name under which connections of this namespace are known to the server. */
  readonly applicationName: string
}

// The server shows pid, role and application of every connection to everyone.
const HOLDER = `
select s.active_pid as pid, coalesce(a.application_name, '') as application, coalesce(a.usename::text, '') as role
from pg_replication_slots s left join pg_stat_activity a on a.pid = s.active_pid
where s.slot_name = $1 and s.active_pid is not null`
const FAILOVER_VERSION = 170_000
const INSUFFICIENT_PRIVILEGE = '42501'

/** Creates what a connector needs on the server. */
export function createSourceAdmin(options: AdminOptions): SourceAdmin {
  const { client, publication } = options
  return {
    slot: createSlotAdmin(options),
    async createPublication(tables) {
      const list = tables.map(quoteTable).join(', ')
      await client.query(
        `create publication "${publication}" for table ${list} with (publish_via_partition_root = true)`,
      )
    },
    async emit(content) {
      // Transactional: a non-transactional message moves the slot but lets WAL files pile up on an idle server.
      await client.query('select pg_logical_emit_message(true, $1, $2)', [MESSAGE_PREFIX, content])
    },
  }
}

function createSlotAdmin({ client, slot, applicationName }: AdminOptions): SlotAdmin {
  return {
    async create(failover) {
      const { rows } = await client.query<{ version: number }>(
        `select current_setting('server_version_num')::int as version`,
      )
      const options = failover && (rows[0]?.version ?? 0) >= FAILOVER_VERSION ? ', failover => true' : ''
      await client.query(`select pg_create_logical_replication_slot($1, 'pgoutput'${options})`, [slot])
    },
    async drop() {
      await client.query('select pg_drop_replication_slot($1)', [slot])
    },
    async holder() {
      const { rows } = await client.query<{ pid: number; application: string; role: string }>(HOLDER, [slot])
      const row = rows[0]
      if (row === undefined) return undefined
      const { pid, application, role } = row
      return { pid, isOurs: application === applicationName, who: `${role} ${application}`.trim() }
    },
    async terminate(pid) {
      try {
        await client.query('select pg_terminate_backend($1)', [pid])
        return true
      } catch (error) {
        if ((error as { code?: string }).code === INSUFFICIENT_PRIVILEGE) return false
        throw error
      }
    },
  }
}
