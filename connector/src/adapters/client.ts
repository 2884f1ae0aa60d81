import type { Socket } from 'node:net'
import pg from 'pg'
import { fail } from '../errors.ts'

/** How to reach the primary. */
export interface ClientOptions {
  readonly url: string
  /** Shown in pg_stat_activity. */
  readonly applicationName: string
}

const CONNECT_TIMEOUT_MS = 10_000
const CLOSE_DEADLINE_MS = 2_000

/** Settings that every connection of this room shares. */
export function clientConfig({ url, applicationName }: ClientOptions): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: applicationName,
    keepAlive: true,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  }
}

/** Opens a connection. A later loss rejects the query in flight and every one after it. */
export async function openClient(options: ClientOptions): Promise<pg.Client> {
  const client = new pg.Client(clientConfig(options))
  // Without a listener a lost idle connection would end the process; the next query reports the loss.
  client.on('error', () => undefined)
  try {
    await client.connect()
  } catch (error) {
    throw classify(error)
  }
  return client
}

/** Ends a connection; a dead peer cannot hold it open. */
export async function closeClient(client: pg.Client): Promise<void> {
  const deadline = setTimeout(() => socketOf(client)?.destroy(), CLOSE_DEADLINE_MS)
  await client.end().catch(() => undefined)
  clearTimeout(deadline)
}

/** The socket below a client, which pg does not declare. */
export function socketOf(client: pg.Client): Socket | undefined {
  return (client as unknown as { connection?: { stream?: Socket } }).connection?.stream
}

/** Turns what pg throws into this room's errors; SQLSTATEs stay in the context. */
export function classify(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { code = '' } = error as Error & { code?: string }
  return fail(
    'LOCKSTEP_CON_UNREACHABLE',
    { state: error.message.includes(code) ? error.message : `${code} ${error.message}` },
    error,
  )
}
