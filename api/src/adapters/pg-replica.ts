import { parseLsn } from '@lockstep/schemas'
import type { Sql } from '../database.ts'
import type { Replica, ReplayPosition } from '../replicas/replica-source.ts'
import { connectTo, openPool, sqlOf, withClient, type PoolOptions } from './pg-database.ts'

// The table is replicated like any other: a standby that shows the generation has replayed the raise on that timeline.
const POSITION = `select pg_last_wal_replay_lsn()::text as lsn,
  (select generation::float8 from lockstep.epoch where namespace = $1) as generation where pg_is_in_recovery()`

/** A hot standby. It must be reached directly: a pooler between could answer from two servers. */
export interface PgReplica extends Replica<Sql> {
  close(): Promise<void>
}

/** Opens a standby. Connections are made on demand. */
export function openReplica(name: string, namespace: string, options: PoolOptions): PgReplica {
  const pool = openPool({ ...options, applicationName: 'lockstep-api-replica' })
  return {
    name,
    use: (work) =>
      withClient(
        () => connectTo(pool),
        (client) => {
          const sql = sqlOf(client)
          return work({ reads: sql, position: () => positionOf(sql, namespace) })
        },
      ),
    close: () => pool.end(),
  }
}

async function positionOf({ rows }: Sql, namespace: string): Promise<ReplayPosition | null> {
  const [row] = await rows<{ lsn: string | null; generation: number | null }>('position', POSITION, [namespace])
  return row?.lsn ? { lsn: parseLsn(row.lsn), generation: row.generation } : null
}
