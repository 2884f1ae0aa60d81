import type pg from 'pg'
import type { ServerIdentity } from '../ports.ts'

/** Runs IDENTIFY_SYSTEM on a replication connection. */
export async function readIdentity(client: pg.Client): Promise<ServerIdentity> {
  const { rows } = await client.query<{ systemid: string; timeline: number }>('IDENTIFY_SYSTEM')
  return { systemId: rows[0]?.systemid ?? '', timeline: Number(rows[0]?.timeline) }
}
