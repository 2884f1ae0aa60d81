import { parseLsn, parseSnapshot } from '@lockstep/schemas'
import type { Reading, Snapshots } from '../ports.ts'
import { classify, closeClient, openClient } from './client.ts'
import type { ClientOptions } from './client.ts'

// The snapshot belongs to the statement and is taken before any of its functions run: W first, then L.
// On a standby the second function raises an error, so a demoted server ends the session.
const QUERY = {
  name: 'lockstep_snapshot',
  text: 'select pg_current_snapshot()::text, pg_current_wal_insert_lsn()::text',
  rowMode: 'array' as const,
}

/** Takes snapshots over a connection of its own, with one prepared statement. */
export async function openSnapshots(options: ClientOptions): Promise<Snapshots> {
  const client = await openClient(options)
  return {
    async take(): Promise<Reading> {
      try {
        const { rows } = await client.query<[string, string]>(QUERY)
        const [snapshot = '', lsn = ''] = rows[0] ?? []
        return { snapshot: parseSnapshot(snapshot), lsn: parseLsn(lsn) }
      } catch (error) {
        throw classify(error)
      }
    },
    close: () => closeClient(client),
  }
}
