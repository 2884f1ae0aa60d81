import type pg from 'pg'
import { MESSAGE_PREFIX } from '../liveness.ts'
import type { SourceAdmin } from '../ports.ts'
import { quoteTable } from '../quote.ts'

export interface AdminOptions {
  readonly client: pg.Client
  readonly slot: string
  /** Checked by the option table: lower-case letters, digits and underscores. */
  readonly publication: string
}

/** Creates what a connector needs on the server. */
export function createSourceAdmin({ client, slot, publication }: AdminOptions): SourceAdmin {
  return {
    async createPublication(tables) {
      const list = tables.map(quoteTable).join(', ')
      await client.query(
        `create publication "${publication}" for table ${list} with (publish_via_partition_root = true)`,
      )
    },
    async createSlot() {
      await client.query(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [slot])
    },
    async dropSlot() {
      await client.query('select pg_drop_replication_slot($1)', [slot])
    },
    async emit(content) {
      // Transactional: a non-transactional message moves the slot but lets WAL files pile up on an idle server.
      await client.query('select pg_logical_emit_message(true, $1, $2)', [MESSAGE_PREFIX, content])
    },
  }
}
