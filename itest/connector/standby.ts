import { execFileSync } from 'node:child_process'
import { chownSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect as connectTo, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { isRunning, pollUntil, startPostgres, type PostgresServer } from '@lockstep/servers'
import pg from 'pg'

const STOP_MS = 15_000
const NOT_COPIED = new Set(['postgresql.conf', 'postmaster.pid', 'postmaster.opts', 'pg_replslot', 'pg_wal'])

async function withClient<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

/** Makes a server that follows `primary`, as `pg_basebackup` would; not every version brings that program. */
export async function startStandby(
  primary: PostgresServer,
  major: 15 | 18,
  settings: Readonly<Record<string, string>> = {},
): Promise<PostgresServer> {
  writeFileSync(
    join(primary.dataDir, 'pg_hba.conf'),
    'host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n',
  )
  const follow = { primary_conninfo: `host=127.0.0.1 port=${primary.port} user=postgres dbname=postgres` }
  const standby = await startPostgres({ major, needs: 'process', settings: { ...follow, ...settings } })
  const { pid, dataDir } = standby
  process.kill(pid, 'SIGINT')
  if (!(await pollUntil(() => !isRunning(pid), STOP_MS))) throw new Error('the standby does not stop')
  const { uid, gid } = statSync(dataDir)
  const write = (name: string, text: string): void => {
    writeFileSync(join(dataDir, name), text, { mode: 0o600 })
    chownSync(join(dataDir, name), uid, gid)
  }
  for (const name of readdirSync(dataDir)) if (!NOT_COPIED.has(name)) rmSync(join(dataDir, name), { recursive: true })
  await withClient(primary.url, async (client) => {
    await client.query('select pg_reload_conf()')
    await client.query(`select pg_backup_start('standby', true)`)
    for (const name of readdirSync(primary.dataDir))
      if (!NOT_COPIED.has(name)) execFileSync('cp', ['-a', join(primary.dataDir, name), join(dataDir, name)])
    const { rows } = await client.query<{ labelfile: string }>('select labelfile from pg_backup_stop(false)')
    write('backup_label', rows[0]?.labelfile ?? '')
  })
  for (const name of readdirSync(join(dataDir, 'pg_wal')))
    if (!statSync(join(dataDir, 'pg_wal', name)).isDirectory()) rmSync(join(dataDir, 'pg_wal', name))
  write('standby.signal', '')
  await standby.restart()
  return standby
}

/** A primary and the server that follows it. */
export interface Servers {
  readonly primary: PostgresServer
  readonly standby: PostgresServer
}

/** Waits until the standby has replayed everything that the primary has written. */
export async function caughtUp({ primary, standby }: Servers, deadlineMs: number): Promise<void> {
  const end = await withClient(primary.url, async (client) => {
    const { rows } = await client.query<{ lsn: string }>('select pg_current_wal_lsn()::text as lsn')
    return rows[0]?.lsn
  })
  const isThere = () =>
    withClient(standby.url, async (client) => {
      const { rows } = await client.query<{ done: boolean }>('select pg_last_wal_replay_lsn() >= $1::pg_lsn as done', [
        end,
      ])
      return rows[0]?.done === true
    })
  if (!(await pollUntil(isThere, deadlineMs, 50))) throw new Error('the standby does not catch up')
}

/** Waits until the standby, by `sync_replication_slots`, has a copy of `slot` that outlives a promotion. */
export async function slotCopied({ primary, standby }: Servers, slot: string, deadlineMs: number): Promise<void> {
  const isSynced = async (): Promise<boolean> => {
    // The copy must not begin before the original: a checkpoint lets the original move on.
    await withClient(primary.url, (client) => client.query('checkpoint'))
    return withClient(standby.url, async (client) => {
      const sql = 'select 1 from pg_replication_slots where slot_name = $1 and synced and not temporary'
      return (await client.query(sql, [slot])).rows.length === 1
    })
  }
  if (!(await pollUntil(isSynced, deadlineMs, 100))) throw new Error('the slot is not copied to the standby')
}

/** Ends its following and waits until it takes writes. */
export const promote = (standby: PostgresServer): Promise<unknown> =>
  withClient(standby.url, (client) => client.query('select pg_promote(true)'))

/** An address that stays the same over a failover, as a service name does. */
export class Address {
  readonly #server: Server
  readonly #open = new Set<Socket>()
  #port: number

  private constructor(port: number) {
    this.#port = port
    this.#server = createServer((client) => {
      const server = connectTo(this.#port, '127.0.0.1')
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        this.#open.add(from)
        from.on('error', () => undefined)
        from.on('close', () => {
          this.#open.delete(from)
          to.destroy()
        })
        from.pipe(to)
      }
    })
  }

  static async of(server: PostgresServer): Promise<Address> {
    const address = new Address(server.port)
    await new Promise<void>((resolve) => address.#server.listen(0, '127.0.0.1', resolve))
    return address
  }

  /** `url` with this address instead of the server's own. */
  url(url: string): string {
    return Object.assign(new URL(url), { port: `${(this.#server.address() as AddressInfo).port}` }).href
  }

  /** Leads to another server from now on and cuts every connection to the old one. */
  moveTo(server: PostgresServer): void {
    this.#port = server.port
    for (const socket of this.#open) socket.destroy()
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#open) socket.destroy()
  }
}
