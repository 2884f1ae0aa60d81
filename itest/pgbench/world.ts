import { once } from 'node:events'
import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { UnsafeSwitches } from '@lockstep/cache'
import { edgeVcl } from '@lockstep/cdn-purger'
import {
  ensureVarnish,
  freePort,
  startPostgres,
  startRedis,
  startVarnish,
  type PostgresServer,
  type RedisOptions,
  type RedisServer,
  type VarnishServer,
} from '@lockstep/servers'
import pg from 'pg'
import type { Links } from '../network/links.ts'
import { TestProcess } from '../process.ts'
import type { LoggedRead } from './history.ts'
import { HistoryReader, pgbench } from './pgbench.ts'
import type { ReaderOptions, ReaderReply, ReaderRequest } from './reader.ts'

export const RULES_FILE = fileURLToPath(new URL('lockstep.rules.yaml', import.meta.url))
const READER = fileURLToPath(new URL('reader.ts', import.meta.url))
const ACCOUNTS_PER_SCALE = 100_000
export const EDGE_TOKEN = 'pgbench-edge-token'
const TOKEN_VARIABLE = 'LOCKSTEP_PURGE_TOKEN'

/** How one run is set up. */
export interface WorldOptions {
  readonly major: 15 | 18
  /** pgbench's scale: 100,000 accounts each. */
  readonly scale: number
  readonly namespace: string
  readonly maxStalenessMs: number
  /** Mutation: protections that the readers do without. */
  readonly unsafe?: UnsafeSwitches | undefined
  /** Instead of a Redis that keeps everything on disk. */
  readonly redis?: RedisOptions | undefined
  readonly settings?: Readonly<Record<string, string>> | undefined
  /** By which readers reach Redis. */
  readonly links?: Links | undefined
}

/** The servers and readers of one run: a pgbench database, Redis, two reader processes and an edge before the first. */
export class World {
  readonly options: WorldOptions
  readonly postgres: PostgresServer
  readonly redis: RedisServer
  /** Where Redis is for everybody but the test itself. */
  readonly redisUrl: string
  readonly edge: VarnishServer
  readonly readers: readonly TestProcess[]
  readonly history: HistoryReader
  readonly #directory: string

  private constructor(
    parts: Pick<World, 'options' | 'postgres' | 'redis' | 'redisUrl' | 'edge' | 'readers'>,
    directory: string,
  ) {
    this.options = parts.options
    this.postgres = parts.postgres
    this.redis = parts.redis
    this.redisUrl = parts.redisUrl
    this.edge = parts.edge
    this.readers = parts.readers
    this.history = new HistoryReader(parts.postgres.url)
    this.#directory = directory
  }

  static async create(options: WorldOptions): Promise<World> {
    const { major, scale, settings, namespace, maxStalenessMs, unsafe = {} } = options
    const ports = [await freePort(), await freePort()]
    const startDatabase = async (): Promise<PostgresServer> => {
      const server = await startPostgres({ major, needs: 'process', fsync: true, ...(settings ? { settings } : {}) })
      await pgbench(server.url, ['-i', '-q', '-s', String(scale)])
      return server
    }
    const startEdge = async (): Promise<VarnishServer> => {
      await ensureVarnish()
      const vcl = edgeVcl({ backendHost: '127.0.0.1', backendPort: ports[0] ?? 0, tokenEnv: TOKEN_VARIABLE })
      return startVarnish({ vcl, env: { [TOKEN_VARIABLE]: EDGE_TOKEN }, needs: 'process' })
    }
    const [postgres, redis, edge] = await Promise.all([
      startDatabase(),
      startRedis(options.redis ?? { needs: 'process', appendOnly: true }),
      startEdge(),
    ])
    const redisUrl = (await options.links?.through('redis', redis.url)) ?? redis.url
    const directory = mkdtempSync(join(tmpdir(), 'lockstep-pgbench-'))
    const readers = ports.map((port, index) => {
      const reader: ReaderOptions = {
        databaseUrl: postgres.url,
        redisUrl,
        namespace,
        processId: `reader-${index}`,
        logFile: join(directory, `reader-${index}.tsv`),
        port,
        maxStalenessMs,
        accounts: scale * ACCOUNTS_PER_SCALE,
        unsafe,
        isIdle: false,
      }
      return new TestProcess(reader.processId, READER, [JSON.stringify(reader)])
    })
    return new World({ options, postgres, redis, redisUrl, edge, readers }, directory)
  }

  /** What `lockstep dev` is told to keep this world in step, on ports of its own. */
  devArgs(): string[] {
    return Object.entries({
      '--database-url': this.postgres.url,
      '--rules': RULES_FILE,
      '--redis-url': this.redisUrl,
      '--namespace': this.options.namespace,
      '--tiers': `varnish+${this.edge.url}`,
      '--edge-token': EDGE_TOKEN,
      '--max-staleness-ms': String(this.options.maxStalenessMs),
      '--admin-port': '0',
      '--api-port': '0',
    }).flat()
  }

  /** Starts every reader, supervised where it may be killed; resolves once all of them read. */
  async startReaders(options: { readonly supervised?: boolean } = {}): Promise<void> {
    const start = (reader: TestProcess) => (options.supervised === true ? reader.supervise() : reader.start())
    await Promise.all(this.readers.map((reader) => once(start(reader).child, 'message')))
  }

  /** A further reader, for after the run: its own memory is empty, and it reads nothing unasked. */
  async freshReader(): Promise<TestProcess> {
    const options: ReaderOptions = {
      ...this.#readerOptions(),
      processId: 'fresh',
      port: await freePort(),
      isIdle: true,
    }
    const reader = new TestProcess('fresh', READER, [JSON.stringify(options)]).start()
    await once(reader.child, 'message')
    return reader
  }

  #readerOptions(): ReaderOptions {
    const { namespace, maxStalenessMs, scale, unsafe = {} } = this.options
    return {
      databaseUrl: this.postgres.url,
      redisUrl: this.redisUrl,
      namespace,
      processId: '',
      logFile: join(this.#directory, 'fresh.tsv'),
      port: 0,
      maxStalenessMs,
      accounts: scale * ACCOUNTS_PER_SCALE,
      unsafe,
      isIdle: false,
    }
  }

  /** Every read that the readers have logged. A torn last line, of a killed reader, does not count. */
  *reads(): Generator<LoggedRead> {
    for (const index of this.readers.keys()) yield* this.readsOf(index)
  }

  /** What one reader has logged; only the last `bytes` of it where given. */
  *readsOf(index: number, bytes = Number.POSITIVE_INFINITY): Generator<LoggedRead> {
    const file = openSync(join(this.#directory, `reader-${index}.tsv`), 'r')
    const { size } = fstatSync(file)
    const text = Buffer.alloc(Math.min(size, bytes))
    readSync(file, text, 0, text.length, size - text.length)
    closeSync(file)
    // The first line may be torn as well.
    for (const line of text
      .toString('utf8')
      .split('\n')
      .slice(text.length < size ? 1 : 0)) {
      const [row, value, startedAt, endedAt, layer] = line.split('\t')
      if (row === undefined || value === undefined || layer === undefined) continue
      yield { row, value, startedAtUs: Number(startedAt), endedAtUs: Number(endedAt), layer }
    }
  }

  /** Ends what pgbench is doing. */
  async endWriting(): Promise<void> {
    const client = new pg.Client({ connectionString: this.postgres.url })
    await client.connect()
    await client.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pgbench'")
    await client.end()
  }

  /** Makes commits wait for a synchronous standby that does not exist: logged, sent to the connector, and invisible. */
  async missStandby(ms: number): Promise<void> {
    const client = new pg.Client({ connectionString: this.postgres.url })
    await client.connect()
    try {
      await client.query("alter system set synchronous_standby_names = 'ghost'")
      await client.query('select pg_reload_conf()')
      await new Promise((resolve) => setTimeout(resolve, ms))
    } finally {
      await client.query('alter system reset synchronous_standby_names')
      await client.query('select pg_reload_conf()')
      await client.end()
    }
  }

  /** Asks a reader what its cache says of these rows. */
  async valuesIn(
    reader: TestProcess,
    rows: readonly string[],
  ): Promise<Extract<ReaderReply, { kind: 'values' }>['values']> {
    const answer = new Promise<Extract<ReaderReply, { kind: 'values' }>>((resolve) => {
      const listen = (reply: ReaderReply) => {
        if (reply.kind !== 'values') return
        reader.child.off('message', listen)
        resolve(reply)
      }
      reader.child.on('message', listen)
    })
    reader.child.send({ kind: 'values', rows } satisfies ReaderRequest)
    return (await answer).values
  }

  /** What the edge answers for a row. */
  async valueAtEdge(row: string): Promise<string> {
    const response = await fetch(`${this.edge.url}/balances/${row.replace(':', '/')}`)
    return ((await response.json()) as { value: string }).value
  }

  async stop(): Promise<void> {
    for (const reader of this.readers) await reader.stop('SIGKILL')
    await this.edge.stop()
    await this.redis.stop()
    await this.postgres.stop()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
