import type pg from 'pg'
import { fail } from '../errors.ts'
import type { Link } from '../ports.ts'
import { closeClient } from './client.ts'

// By namespace, not by slot: two connectors with different slots must not share topics and generations either.
const TRY_LEAD = {
  name: 'lockstep_lead',
  text: `select pg_try_advisory_lock(hashtextextended('lockstep:' || $1, 0)) as leads`,
}

/** Leads by a session-level advisory lock, which the server releases with the connection. */
export function createLink(client: pg.Client, namespace: string): Link {
  const lost = new Promise<Error>((resolve) => {
    client.once('error', (cause) => resolve(fail('LOCKSTEP_CON_LEAD_LOST', {}, cause)))
    client.once('end', () => resolve(fail('LOCKSTEP_CON_LEAD_LOST')))
  })
  return {
    lost,
    async tryLead() {
      const { rows } = await client.query<{ leads: boolean }>({ ...TRY_LEAD, values: [namespace] })
      return rows[0]?.leads === true
    },
    close: () => closeClient(client),
  }
}
