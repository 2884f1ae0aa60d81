import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres, type PostgresServer } from '@lockstep/servers'
import pg from 'pg'

export const PGBENCH = 'pgbench'
const CLIENTS = 8
// An id tells who wrote it and as which of his commits.
const ID_PER_CLIENT = 10_000_000
const SCRIPT = `\\set n :n + 1
insert into items values (:client_id * ${ID_PER_CLIENT} + :n, :n % 1000, 'item', 9.99, now(), repeat('x', 100));
`
// About 210 bytes per row on the wire, the width of the rows in the published figures.
const TABLE = `create table items (id bigint primary key, category_id int, name text, price numeric,
  updated_at timestamptz, filler text); alter table items replica identity full`

/** A database with the table `items` that pgbench fills, and a client for it. */
export interface ItemsDatabase {
  readonly postgres: PostgresServer
  readonly client: pg.Client
  close(): Promise<void>
}

export async function openItemsDatabase(): Promise<ItemsDatabase> {
  // No checkpoint falls into a measurement.
  const settings = { max_wal_size: '8GB', checkpoint_timeout: '1h' }
  const postgres = await startPostgres({ needs: 'process', settings })
  const client = new pg.Client({ connectionString: postgres.url })
  await client.connect()
  await client.query(TABLE)
  const close = async (): Promise<void> => {
    await client.end()
    await postgres.stop()
  }
  return { postgres, client, close }
}

/** Lets pgbench insert `rate` items per second, one per commit; answers when each id's commit was acknowledged, ms since the Unix epoch. */
export async function commitItems(
  { host, port, user, password }: Pick<PostgresServer, 'host' | 'port' | 'user' | 'password'>,
  { rate, seconds }: { readonly rate: number; readonly seconds: number },
): Promise<Map<number, number>> {
  const work = mkdtempSync(join(tmpdir(), 'lockstep-pgbench-'))
  try {
    const script = join(work, 'insert.sql')
    writeFileSync(script, SCRIPT)
    const place = ['-h', host, '-p', String(port), '-U', user, 'postgres']
    const load = ['-n', '-M', 'prepared', '-c', String(CLIENTS), '-R', String(rate), '-T', String(seconds)]
    const logging = ['-l', `--log-prefix=${join(work, 'log')}`, '-D', 'n=0', '-f', script]
    const child = spawn(PGBENCH, [...load, ...logging, ...place], {
      stdio: ['ignore', 'ignore', 'ignore'],
      env: { ...process.env, PGPASSWORD: password },
    })
    await once(child, 'exit')
    const files = readdirSync(work).filter((file) => file.startsWith('log'))
    return new Map(files.flatMap((file) => readFileSync(join(work, file), 'utf8').split('\n').flatMap(readLine)))
  } finally {
    rmSync(work, { recursive: true })
  }
}

/** A line of the log: client, number of its transaction, latency, script, seconds, microseconds, lag. */
function readLine(line: string): [number, number][] {
  const [client, number, , , seconds, us] = line.split(' ').map(Number)
  if (client === undefined || number === undefined || seconds === undefined || us === undefined) return []
  return [[client * ID_PER_CLIENT + number, seconds * 1000 + us / 1000]]
}

/** How long each id took from its acknowledgement until `reached`, ms, without the first `warmSeconds`. */
export function waitsOf(
  acknowledged: ReadonlyMap<number, number>,
  reached: ReadonlyMap<number, number>,
  warmSeconds: number,
): number[] {
  let fromMs = Infinity
  for (const atMs of acknowledged.values()) fromMs = Math.min(fromMs, atMs + warmSeconds * 1000)
  return [...acknowledged]
    .filter(([, atMs]) => atMs > fromMs)
    .map(([id, atMs]) => (reached.get(id) ?? Number.NaN) - atMs)
}
