import { checkSource, CONNECTOR_CONFIG, prepareSql, type Check, type ConnectorConfig } from '@lockstep/connector'
import { loadConfig } from '@lockstep/runtime'
import { parseRules } from '@lockstep/schemas'
import { pollUntil, type PostgresServer } from '@lockstep/servers'
import pg from 'pg'

/** A plain table whose rules need more than its key, and a partitioned one whose key is enough. */
export const RULES_TEXT = `
tables:
  shop.products:
    - tag: product:{id}
    - tag: category:{category_id}
  shop.orders:
    - tag: order:{id}
`
export const RULES = parseRules(RULES_TEXT)

const TABLES = `
create schema shop;
create table shop.products (id int primary key, category_id int not null, body text);
create table shop.orders (id int primary key, total int) partition by range (id);
create table shop.orders_1 partition of shop.orders for values from (0) to (1000);
create table shop.orders_2 partition of shop.orders for values from (1000) to (2000);`

/** What a check is told by. */
export type Finding = Pick<Check, 'name' | 'severity' | 'remedy'>

/** A database of its own, made ready by what `lockstep doctor --sql` prints. */
export interface SoundSource {
  readonly database: string
  readonly role: string
  /** As the role that was made. */
  config: ConnectorConfig
  /** Runs SQL as superuser in this database. */
  query(text: string): Promise<pg.QueryResult>
  /** Applies a remedy: every line as a statement of its own, as psql reads it. */
  apply(sql: string): Promise<void>
  /** Everything that `doctor` warns of or refuses. */
  findings(): Promise<Finding[]>
  /** The same, once it is as expected or a second has passed: a reload takes a moment. */
  eventually(count: number): Promise<Finding[]>
  close(): Promise<void>
}

let sources = 0

/** The superuser's address with another database, role and password. */
export function urlOf(server: PostgresServer, database: string, role?: string): string {
  const url = Object.assign(new URL(server.url), { pathname: `/${database}` })
  return role === undefined ? url.href : Object.assign(url, { username: role, password: role }).href
}

/** The connector's options with that slot, else as they are by default. */
export const connectorConfig = (url: string, slot: string): ConnectorConfig =>
  loadConfig(CONNECTOR_CONFIG, { env: { LOCKSTEP_CONNECTOR_DATABASE_URL: url, LOCKSTEP_CONNECTOR_SLOT: slot } })

/** Makes a database with the tables and nothing else. */
export async function bareDatabase(server: PostgresServer): Promise<string> {
  const database = `shop${(sources += 1)}`
  await run(server.url, `create database ${database}`)
  await run(urlOf(server, database), TABLES)
  return database
}

/** Makes a database with the tables, then role and all the rest. */
export async function soundSource(server: PostgresServer): Promise<SoundSource> {
  const database = await bareDatabase(server)
  const role = `${database}_role`
  const admin = urlOf(server, database)
  await run(admin, await prepareSql(connectorConfig(admin, database), RULES, role))
  await run(admin, `alter role ${role} password '${role}'; grant pg_read_all_stats to ${role}`)
  const source: SoundSource = {
    database,
    role,
    config: connectorConfig(urlOf(server, database, role), database),
    query: (text) => run(admin, text),
    async apply(sql) {
      for (const line of sql.split('\n')) await run(admin, line)
    },
    async findings() {
      const checks = await checkSource(source.config, RULES)
      return checks
        .filter(({ severity }) => severity === 'warn' || severity === 'error')
        .map(({ name, severity, remedy }) => ({ name, severity, remedy }))
    },
    async eventually(count) {
      let findings: Finding[] = []
      await pollUntil(async () => (findings = await source.findings()).length === count, 1_000)
      return findings
    },
    async close() {
      await run(server.url, `select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active`)
      await run(server.url, `drop database ${database} with (force)`)
      await run(server.url, `drop role ${role}`)
    },
  }
  return source
}

/** Runs SQL on a connection of its own. */
export async function run(url: string, text: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await client.query(text)
  } finally {
    await client.end()
  }
}
