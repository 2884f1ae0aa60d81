import { randomBytes } from 'node:crypto'
import { createMemoryLog, loadConfig, TOPICS } from '@lockstep/runtime'
import type { EventLog } from '@lockstep/runtime'
import { decodeEvent, parseRules } from '@lockstep/schemas'
import type { Change, Flush, LogEvent, RuleSet, Watermark } from '@lockstep/schemas'
import pg from 'pg'
import { startConnector } from '../compose.ts'
import type { RunningConnector, StartDeps } from '../compose.ts'
import { CONNECTOR_CONFIG } from '../config.ts'
import type { ConnectorConfig } from '../config.ts'

/** Rules over the table that `openTestSource` makes. */
export const PRODUCT_RULES: RuleSet = parseRules(`
tables:
  public.products:
    - tag: product:{id}
    - tag: category:{category_id}
`)

/** A database of its own on a shared server, with one table. */
export interface TestSource {
  readonly url: string
  readonly config: ConnectorConfig
  readonly client: pg.Client
  /** Runs statements on the admin connection, outside the test's database. */
  readonly admin: pg.Client
  query(text: string, values?: readonly unknown[]): Promise<pg.QueryResult>
  /** Opens one more connection, closed by `drop`. */
  connect(): Promise<pg.Client>
  drop(): Promise<void>
}

/** Makes a database with the table `public.products` under a full replica identity. */
export async function openTestSource(serverUrl: string): Promise<TestSource> {
  const name = `con_${randomBytes(5).toString('hex')}`
  const admin = new pg.Client({ connectionString: serverUrl })
  await admin.connect()
  await admin.query(`create database ${name}`)
  const target = new URL(serverUrl)
  target.pathname = `/${name}`
  const url = target.href
  const clients: pg.Client[] = []
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: url })
    client.on('error', () => undefined)
    await client.connect()
    clients.push(client)
    return client
  }
  const client = await connect()
  await client.query(`create table public.products (id int primary key, category_id int, body text);
    alter table public.products replica identity full; alter table public.products alter body set storage external`)
  const config = loadConfig(CONNECTOR_CONFIG, {
    env: { LOCKSTEP_CONNECTOR_DATABASE_URL: url, LOCKSTEP_CONNECTOR_SLOT: name, LOCKSTEP_CONNECTOR_HEARTBEAT_MS: '20' },
  })
  return {
    url,
    config,
    client,
    admin,
    query: (text, values = []) => client.query(text, [...values]),
    connect,
    async drop() {
      await Promise.all(clients.map((each) => each.end().catch(() => undefined)))
      const mine = `select pid from pg_stat_replication where pid in (select active_pid from pg_replication_slots where database = $1)`
      await admin.query(`select pg_terminate_backend(pid) from (${mine}) m`, [name])
      await admin
        .query('select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = $1', [name])
        .catch(() => undefined)
      await admin.query(`drop database ${name} with (force)`).catch(() => undefined)
      await admin.end()
    },
  }
}

/** A memory log that remembers what it was given, in order. */
export interface RecordingLog extends EventLog {
  readonly events: readonly { readonly event: LogEvent; readonly partition: number }[]
  changes(): Change[]
  watermarks(): Watermark[]
  flushes(): Flush[]
  /** While set, produce calls on `changes` wait for it before they are taken. */
  hold: Promise<void> | undefined
  /** While true, produce calls on `changes` are rejected. */
  isRefusing: boolean
}

/** Makes a recording log over the real memory log, with two partitions of changes. */
export function createRecordingLog(): RecordingLog {
  const inner = createMemoryLog({ partitions: { changes: 2 } })
  const events: { event: LogEvent; partition: number }[] = []
  const of = <T extends LogEvent>(kind: T['kind']): T[] =>
    events.flatMap(({ event }) => (event.kind === kind ? [event as T] : []))
  const log: RecordingLog = {
    events,
    hold: undefined,
    isRefusing: false,
    changes: () => of<Change>('change'),
    watermarks: () => of<Watermark>('watermark'),
    flushes: () => of<Flush>('flush'),
    async produce(topic, records) {
      if (topic === TOPICS.changes) await log.hold
      if (topic === TOPICS.changes && log.isRefusing) throw new Error('refused by the test')
      await inner.produce(topic, records)
      if (topic !== TOPICS.changes) return
      for (const { value, partition } of records) events.push({ event: decodeEvent(value), partition: partition ?? -1 })
    },
    consume: (options, onBatch) => inner.consume(options, onBatch),
    partitionCount: (topic) => inner.partitionCount(topic),
    close: () => inner.close(),
  }
  return log
}

/** Starts a connector on the test's database. */
export function startOn(
  source: TestSource,
  log: EventLog,
  deps: StartDeps & { config?: Partial<ConnectorConfig> } = {},
) {
  const { config, ...rest } = deps
  return startConnector(
    { ...source.config, ...config },
    { rules: PRODUCT_RULES, log, ...quiet, ...rest },
  ) as Promise<RunningConnector>
}

const nothing = (): void => undefined
const quietLogger = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => quietLogger }
const quiet = { logger: quietLogger }
