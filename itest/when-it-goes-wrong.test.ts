import { once } from 'node:events'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  childrenOf,
  freePort,
  isRunning,
  pollUntil,
  startPostgres,
  startRedis,
  type PostgresServer,
  type RedisServer,
} from '@lockstep/servers'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { lockstep, type TestProcess } from './process.ts'

const EXIT_CONFIG = 78
const ANSWER_MS = 10_000
/** Tells an exit from a stop that waits for every part, on a machine that stalls. */
const AT_ONCE_MS = 3_000
// What a watchdog needs after the process it watched is gone.
const CLEAN_UP_MS = 5_000
const SHOP_RULES = fileURLToPath(new URL('./shop.rules.yaml', import.meta.url))

let postgres: PostgresServer
let redis: RedisServer
let directory: string
let databases = 0

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'lockstep-wrong-'))
  // Servers that run as another user must reach their files below it.
  chmodSync(directory, 0o755)
  postgres = await startPostgres({ major: 'any', needs: 'process' })
  redis = await startRedis({ needs: 'process' })
})
afterAll(async () => {
  await redis?.stop()
  await postgres?.stop()
  rmSync(directory, { recursive: true, force: true })
})

/** A database with the tables of the shop, whose old rows carry every column. */
class Shop {
  readonly url: string
  readonly #client: pg.Client

  private constructor(client: pg.Client, url: string) {
    this.#client = client
    this.url = url
  }

  static async create(server = postgres): Promise<Shop> {
    const name = `shop${(databases += 1)}`
    const admin = new pg.Client({ connectionString: server.url })
    await admin.connect()
    await admin.query(`create database ${name}`)
    await admin.end()
    const url = Object.assign(new URL(server.url), { pathname: `/${name}` }).href
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    onTestFinished(() => client.end())
    await client.query(`create table products (id int primary key, category_id int not null);
      create table categories (id int primary key); alter table products replica identity full`)
    return new Shop(client, url)
  }

  query(sql: string): Promise<pg.QueryResult> {
    return this.#client.query(sql)
  }

  /** What Lockstep has made here. */
  async made(): Promise<string[]> {
    const { rows } = await this.query(`
      select 'slot' as what from pg_replication_slots where database = current_database()
      union all select 'publication' from pg_publication
      union all select 'schema' from pg_namespace where nspname = 'lockstep' order by 1`)
    return rows.map(({ what }: { what: string }) => what)
  }
}

interface Outcome {
  readonly code: number | null
  readonly output: string
  readonly tookMs: number
}

/** Runs a command until it ends. */
async function outcome(command: string, args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
  const startedMs = performance.now()
  const running = lockstep(command, args, env).start()
  const late = setTimeout(() => running.kill9(), 2 * ANSWER_MS)
  // `close`, not `exit`: only then everything it has said was read.
  const [code] = (await once(running.child, 'close')) as [number | null]
  clearTimeout(late)
  return { code, output: running.output, tookMs: performance.now() - startedMs }
}

/** Messages for a person, and errors among the log lines of a service. */
function messages(output: string): string[] {
  const services = output.split('\n').flatMap((line) => {
    if (!line.startsWith('{')) return []
    const { level, msg } = JSON.parse(line) as { level: number; msg: string }
    return level >= 40 ? [msg] : []
  })
  const people = [...output.matchAll(/^lockstep: (.*(?:\n+ .*|\n+[A-Z].*)*)/gm)].map(([, text = '']) => text)
  return [...people, ...services]
}

interface Seen {
  readonly messages: readonly string[]
  readonly code: number | null
  readonly isInTime: boolean
  /** What was made on the database. */
  readonly made: readonly string[]
}

async function seen(result: Promise<Outcome>, shop?: Shop): Promise<Seen> {
  const { output, code, tookMs } = await result
  return { messages: messages(output), code, isInTime: tookMs < ANSWER_MS, made: (await shop?.made()) ?? [] }
}

/** One message that names the remedy, in time, and nothing on the database. */
const refusal = (remedy: RegExp, code = EXIT_CONFIG) => ({
  messages: [expect.stringMatching(remedy) as string],
  code,
  isInTime: true,
  made: [],
})

const dev = (shop: { readonly url: string }, args: readonly string[] = []): Promise<Outcome> =>
  outcome('dev', ['--database-url', shop.url, '--rules', SHOP_RULES, '--admin-port', '0', ...args])

const doctor = (url: string, env: Record<string, string> = {}, rules = SHOP_RULES): Promise<Outcome> =>
  outcome('doctor', ['--database-url', url, '--rules', rules], env)

/** The SQL that doctor prints under a fault, up to its semicolon. */
function remedyOf(name: string, { output }: Outcome): string {
  const lines = output.split('\n')
  const at = lines.findIndex((line) => line.startsWith(`ERROR ${name} `))
  const sql = /^[^;]*;/.exec(lines[at + 1]?.trim() ?? '')?.[0]
  if (at < 0 || sql === undefined) throw new Error(`doctor prints no SQL for ${name}:\n${output}`)
  return sql
}

function rulesFile(name: string, text: string): string {
  const path = join(directory, name)
  writeFileSync(path, text)
  return path
}

/** A port that somebody listens on. */
async function takenPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => new Promise<void>((resolve) => void server.close(() => resolve())))
  return (server.address() as AddressInfo).port
}

describe('a database that is not ready', () => {
  test('without wal_level = logical, dev and doctor name the statement that sets it and make nothing', async () => {
    const server = await startPostgres({ major: 'any', needs: 'process', settings: { wal_level: 'replica' } })
    onTestFinished(() => server.stop())
    const shop = await Shop.create(server)
    const remedy = /wal_level is replica\s+ALTER SYSTEM SET wal_level = logical; -- then restart/
    expect(await seen(dev(shop), shop)).toEqual(refusal(remedy))
    const { output, code } = await doctor(shop.url)
    expect(output).toMatch(/ERROR wal-level .*\n +ALTER SYSTEM SET wal_level = logical; -- then restart the server/)
    expect(code).toBe(1)
  })

  test('without the REPLICATION right, the statement that is printed gives it', async () => {
    const shop = await Shop.create()
    await shop.query(`create role plain login password 'plain'; alter table products owner to plain;
      alter table categories owner to plain`)
    const plain = Object.assign(new URL(shop.url), { username: 'plain', password: 'plain' }).href
    const before = await doctor(plain)
    expect(before.code).toBe(1)
    const remedy = /may not replicate\s+ALTER ROLE "plain" WITH REPLICATION;/
    expect(await seen(dev({ url: plain }), shop)).toEqual(refusal(remedy))
    for (const fault of ['replication-right', 'epoch-table']) await shop.query(remedyOf(fault, before))
    expect((await doctor(plain)).code).toBe(0)
  })

  test('without publication, where none may be made, the statement that is printed makes it', async () => {
    const shop = await Shop.create()
    const env = { LOCKSTEP_CONNECTOR_CREATE_PUBLICATION: 'false' }
    const connector = outcome('connector', ['--database-url', shop.url, '--rules-file', SHOP_RULES], env)
    const remedy = /CREATE PUBLICATION "lockstep" FOR TABLE .*;\s+-- or set/
    expect(await seen(connector, shop)).toEqual(refusal(remedy))
    await shop.query(remedyOf('publication', await doctor(shop.url, env)))
    expect((await doctor(shop.url, env)).code).toBe(0)
  })

  test('a rule that names an unknown column is named with its table', async () => {
    const shop = await Shop.create()
    const rules = rulesFile('column.yaml', 'tables:\n  public.products:\n    - tag: colour:{colour}\n')
    const remedy = /public.products has no column colour\s+correct the name in the rules, or add the column/
    expect(await seen(dev(shop, ['--rules', rules]), shop)).toEqual(refusal(remedy))
    expect((await doctor(shop.url, {}, rules)).output).toMatch(remedy)
    await shop.query('alter table products add column colour text')
    expect((await doctor(shop.url, {}, rules)).code).toBe(0)
  })

  test('a replica identity without the old value of a rule is mended by the statement that is printed', async () => {
    const shop = await Shop.create()
    await shop.query('alter table products replica identity default')
    const remedy = /do not carry category_id\s+ALTER TABLE "public"."products" REPLICA IDENTITY FULL;/
    expect(await seen(dev(shop), shop)).toEqual(refusal(remedy))
    await shop.query(remedyOf('replica-identity', await doctor(shop.url)))
    expect((await doctor(shop.url)).code).toBe(0)
  })

  test('several faults are one message', async () => {
    const shop = await Shop.create()
    await shop.query('alter table products replica identity default; drop table categories')
    const remedy = /do not carry category_id[\s\S]*public.categories does not exist/
    expect(await seen(dev(shop), shop)).toEqual(refusal(remedy))
  })

  test('a database that cannot be reached is one message of dev', async () => {
    const away = { url: `postgres://nobody@127.0.0.1:${await freePort()}/none` }
    expect(await seen(dev(away))).toEqual(refusal(/check that the server runs/))
  })
})

describe('something that is needed is away', () => {
  test('Redis unreachable: dev says how to start or name it, and makes nothing', async () => {
    const shop = await Shop.create()
    const url = `redis://127.0.0.1:${await freePort()}`
    const remedy = /Redis cannot be reached.*ECONNREFUSED.*Start it/
    expect(await seen(dev(shop, ['--redis-url', url]), shop)).toEqual(refusal(remedy))
  })

  test('Redis unreachable: the invalidator says so before it asks for Kafka', async () => {
    const url = `redis://127.0.0.1:${await freePort()}`
    const invalidator = outcome('invalidator', ['--redis-url', url, '--rules-file', SHOP_RULES])
    expect(await seen(invalidator)).toEqual(refusal(/Redis cannot be reached.*LOCKSTEP_REDIS_URL/))
  })

  test('Kafka unreachable: the connector names the brokers and their option, and makes nothing', async () => {
    const shop = await Shop.create()
    const brokers = `127.0.0.1:${await freePort()}`
    const args = ['--database-url', shop.url, '--rules-file', SHOP_RULES, '--kafka-brokers', brokers]
    // Not 78: brokers come back, so a supervisor may start it again.
    const remedy = new RegExp(`${brokers} answers. .*LOCKSTEP_KAFKA_BROKERS`)
    expect(await seen(outcome('connector', args), shop)).toEqual(refusal(remedy, 1))
  })
})

describe('a port in use', () => {
  test('dev names the option of its port and makes nothing', async () => {
    const [shop, port] = [await Shop.create(), await takenPort()]
    const refused = dev(shop, ['--redis-url', redis.url, '--admin-port', `${port}`])
    expect(await seen(refused, shop)).toEqual(refusal(new RegExp(`port ${port} is in use.*--admin-port`)))
  })

  test.each([
    ['LOCKSTEP_API_PORT', 'LOCKSTEP_API_ADMIN_PORT'],
    ['LOCKSTEP_API_ADMIN_PORT', 'LOCKSTEP_API_PORT'],
  ])('api names %s', async (taken, free) => {
    const [shop, port] = [await Shop.create(), await takenPort()]
    const env = {
      LOCKSTEP_API_HOST: '127.0.0.1',
      LOCKSTEP_API_DATABASE_URL: shop.url,
      LOCKSTEP_REDIS_URL: redis.url,
      LOCKSTEP_TOKEN_SECRET: 'a secret that only this test knows',
      LOCKSTEP_API_SESSION_SECRET: 'another secret that only this test knows',
      [taken]: `${port}`,
      [free]: '0',
    }
    const remedy = new RegExp(`port ${port} is in use.*${taken}`)
    expect(await seen(outcome('api', [], env), shop)).toEqual(refusal(remedy))
  })
})

/** Every process below this one, with their descendants. */
function descendants(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendants(child)])
}

interface Started {
  readonly process: TestProcess
  readonly family: readonly number[]
  /** Where it keeps its files. */
  readonly files: string
}

/** Starts a command with a directory of its own and waits for its word and for its children. */
async function start(command: string, args: readonly string[], word: string, children: number): Promise<Started> {
  const files = mkdtempSync(join(directory, 'files-'))
  chmodSync(files, 0o755)
  const process = lockstep(command, args, { TMPDIR: files }).start()
  onTestFinished(() => process.kill9())
  await process.says(word)
  const pid = process.child.pid ?? 0
  const isComplete = await pollUntil(() => childrenOf(pid).length >= children, ANSWER_MS)
  if (!isComplete) throw new Error(`${command} has only ${childrenOf(pid).length} children: ${process.output}`)
  return { process, family: descendants(pid), files }
}

/** Sends signals one after the other; resolves with the exit code and how long the end took. */
async function end(
  { process: { child } }: Started,
  ...signals: NodeJS.Signals[]
): Promise<[code: unknown, ms: number]> {
  const exited = once(child, 'exit')
  const startedMs = performance.now()
  for (const signal of signals) {
    child.kill(signal)
    // Two signals of one kind that are pending at once arrive as one.
    await Promise.race([exited, new Promise((resolve) => setTimeout(resolve, 100))])
  }
  const [code, signal] = (await exited) as [number | null, string | null]
  return [code ?? signal, performance.now() - startedMs]
}

interface Leftovers {
  readonly running: readonly number[]
  readonly files: readonly string[]
}

const NOTHING: Leftovers = { running: [], files: [] }

/** Processes that were told to keep their files there: also those that were started after the family was counted. */
function usersOf(files: string): number[] {
  if (process.platform !== 'linux') return []
  return readdirSync('/proc').flatMap((name) => {
    try {
      const isUser = readFileSync(`/proc/${name}/environ`, 'latin1').includes(`TMPDIR=${files}`)
      return isUser && isRunning(Number(name)) ? [Number(name)] : []
    } catch {
      return []
    }
  })
}

/** What is left of it after the time that a watchdog needs. */
async function leftovers({ family, files }: Started): Promise<Leftovers> {
  const running = (): number[] => [...new Set([...family.filter(isRunning), ...usersOf(files)])]
  // Postgres' programs stay on purpose where the server's user cannot reach the checkout; see `reachable`.
  const left = (): string[] => readdirSync(files).filter((name) => !/^lockstep-postgres-[\d.]+-\d+$/.test(name))
  await pollUntil(() => running().length === 0 && left().length === 0, CLEAN_UP_MS)
  return { running: running(), files: left() }
}

const SMALL = ['--products', '200', '--commits', '20', '--reads', '100']
// Postgres, Redis, edge, two API processes, load, watchdog.
const DEMO_CHILDREN = 7

describe('the end of the demo', () => {
  const startDemo = (): Promise<Started> => start('demo', SMALL, 'open http', DEMO_CHILDREN)

  test('Ctrl-C stops it with 0 and leaves no process and no file', async () => {
    const demo = await startDemo()
    const [code, tookMs] = await end(demo, 'SIGINT')
    expect(messages(demo.process.output)).toEqual([])
    expect(code).toBe(0)
    expect(tookMs).toBeLessThan(ANSWER_MS)
    expect(await leftovers(demo)).toEqual(NOTHING)
  })

  test('Ctrl-C twice ends it at once and leaves no process and no file', async () => {
    const demo = await startDemo()
    const [code, tookMs] = await end(demo, 'SIGINT', 'SIGINT')
    // It may have stopped before the second one came.
    expect([0, 130]).toContain(code)
    expect(tookMs).toBeLessThan(AT_ONCE_MS)
    expect(await leftovers(demo)).toEqual(NOTHING)
  })

  test('kill -9 leaves no process and no file', async () => {
    const demo = await startDemo()
    await end(demo, 'SIGKILL')
    expect(await leftovers(demo)).toEqual(NOTHING)
  })

  test.each(['starting Postgres', 'seeding', 'starting the pipeline'])(
    'Ctrl-C while it says "%s" stops it with 0 and leaves nothing',
    async (word) => {
      const demo = await start('demo', SMALL, word, 0)
      const [code] = await end(demo, 'SIGINT')
      expect(messages(demo.process.output)).toEqual([])
      expect(code).toBe(0)
      expect(await leftovers(demo)).toEqual(NOTHING)
    },
  )

  test('Ctrl-C twice while it makes the cluster leaves nothing', async () => {
    const demo = await start('demo', SMALL, 'starting Postgres', 1)
    await end(demo, 'SIGINT', 'SIGINT')
    expect(await leftovers(demo)).toEqual(NOTHING)
  })
})

describe('the end of dev', () => {
  // Redis and the watchdog.
  const startDev = ({ url }: Shop): Promise<Started> =>
    start('dev', ['--database-url', url, '--rules', SHOP_RULES, '--admin-port', '0'], 'In step with', 2)
  const untilNoSlot = (shop: Shop): Promise<boolean> =>
    pollUntil(async () => !(await shop.made()).includes('slot'), CLEAN_UP_MS)

  test('Ctrl-C takes back slot and publication, leaves the generation as announced, and no process', async () => {
    const shop = await Shop.create()
    const running = await startDev(shop)
    expect(await shop.made()).toEqual(['publication', 'schema', 'slot'])
    expect(running.process.output).toContain('only the schema lockstep with the generation stays')
    const [code] = await end(running, 'SIGINT')
    expect(messages(running.process.output)).toEqual([])
    expect(code).toBe(0)
    expect(await shop.made()).toEqual(['schema'])
    expect(await leftovers(running)).toEqual(NOTHING)
  })

  test('Ctrl-C keeps a publication that was there before', async () => {
    const shop = await Shop.create()
    await shop.query(
      `create publication lockstep for table products, categories with (publish_via_partition_root = true)`,
    )
    const running = await startDev(shop)
    await end(running, 'SIGINT')
    expect(await shop.made()).toEqual(['publication', 'schema'])
  })

  test('kill -9 leaves no slot and no process, and the next dev starts', async () => {
    const shop = await Shop.create()
    const running = await startDev(shop)
    await end(running, 'SIGKILL')
    const next = await startDev(shop)
    expect(await leftovers(running)).toEqual(NOTHING)
    await end(next, 'SIGINT', 'SIGINT')
    expect(await untilNoSlot(shop)).toBe(true)
    expect(await leftovers(next)).toEqual(NOTHING)
  })

  test('two of them on databases of one server do not disturb each other', async () => {
    const shops = [await Shop.create(), await Shop.create()]
    for (const running of await Promise.all(shops.map(startDev))) await end(running, 'SIGINT')
    for (const shop of shops) expect(await shop.made()).toEqual(['schema'])
  })
})
