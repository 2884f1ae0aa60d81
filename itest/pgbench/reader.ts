/**
 * A reader process of the pgbench test: reads balances through the cache, favouring rows that have just changed (the only
 * ones that can be stale), logs every read, and answers the same balances over HTTP for an edge in front of it.
 */
import { createWriteStream } from 'node:fs'
import { createCache, type Cache, type Entry, type UnsafeSwitches } from '@lockstep/cache'
import { fastifyLockstep } from '@lockstep/cache/fastify'
import Fastify from 'fastify'
import pg from 'pg'
import { BALANCE_TABLES, rowOfTag } from './tables.ts'

/** What the test hands over as JSON in the first argument. */
export interface ReaderOptions {
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly namespace: string
  readonly processId: string
  readonly logFile: string
  readonly port: number
  readonly maxStalenessMs: number
  readonly accounts: number
  readonly unsafe: UnsafeSwitches
  /** Reads only what it is asked for. */
  readonly isIdle: boolean
}

/** What the test asks over IPC. */
export type ReaderRequest = { readonly kind: 'values'; readonly rows: readonly string[] } | { readonly kind: 'stop' }
/** The answers: `values` are what the cache says for the rows asked, with the layer that said it. */
export type ReaderReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'values'; readonly values: readonly (readonly [row: string, value: string, layer: string])[] }

// Few enough that a row is read again before it leaves, and so out of the caches.
const RECENT_ROWS = 400
// Of the reads: rows that changed lately, and any account; the rest are tellers, each of which changes all the time.
const RECENT_SHARE = 0.65
const ANY_SHARE = 0.05
// The share of invalidated rows that are read again at once: the race between a fill and an invalidation needs a reader there.
const EAGER_SHARE = 0.25
// Of pgbench, at every scale.
const ACCOUNTS_PER_TELLER = 10_000
const READERS = 4
const nowUs = (): number => (performance.timeOrigin + performance.now()) * 1000

type Balance = { readonly value: string }

class ReaderProcess {
  readonly #options: ReaderOptions
  readonly #pool: pg.Pool
  readonly #cache: Cache
  readonly #entries = new Map<string, Entry<string, Balance>>()
  readonly #log: ReturnType<typeof createWriteStream>
  readonly #recent: string[] = []
  #stopped = false

  constructor(options: ReaderOptions) {
    this.#options = options
    this.#pool = new pg.Pool({ connectionString: options.databaseUrl, max: 8 })
    this.#pool.on('error', () => undefined)
    this.#log = createWriteStream(options.logFile, { flags: 'a' })
    this.#cache = createCache({
      redis: { url: options.redisUrl },
      namespace: options.namespace,
      processId: options.processId,
      maxStalenessMs: options.maxStalenessMs,
      l1: { maxBytes: 64 * 1024 * 1024 },
      unsafe: options.unsafe,
    })
    for (const { table, tagClass, key, value } of BALANCE_TABLES) {
      const sql = `select ${value}::text as value from ${table} where ${key} = $1`
      const entry = this.#cache.define<string, Balance>(tagClass, {
        key: (id) => `${tagClass}:${id}`,
        load: async (id) =>
          (await this.#pool.query<Balance>({ name: tagClass, text: sql, values: [id] })).rows[0] ?? null,
        tags: () => [],
        ttlMs: 120_000,
      })
      this.#entries.set(table, entry)
    }
  }

  async run(): Promise<void> {
    await this.#cache.start()
    this.#cache.onInvalidated((fences) => {
      if (this.#options.isIdle) return
      for (const [tag] of fences) this.#noticed(rowOfTag(tag))
    })
    const http = await this.#serve()
    process.send?.({ kind: 'ready' } satisfies ReaderReply)
    await Promise.all(Array.from({ length: READERS }, () => this.#loop()))
    await http.close()
    await this.#cache.stop()
    await this.#pool.end()
    await new Promise<void>((resolve) => this.#log.end(resolve))
  }

  stop(): void {
    this.#stopped = true
  }

  async values(rows: readonly string[]): Promise<[string, string, string][]> {
    const values: [string, string, string][] = []
    for (const row of rows) {
      const { value, layer } = await this.#entry(row).read(row.slice(row.indexOf(':') + 1))
      values.push([row, value?.value ?? 'absent', layer])
    }
    return values
  }

  #entry(row: string): Entry<string, Balance> {
    const entry = this.#entries.get(row.slice(0, row.indexOf(':')))
    if (!entry) throw new Error(`no entry for ${row}`)
    return entry
  }

  #noticed(row: string | null): void {
    if (row === null) return
    if (this.#recent.length < RECENT_ROWS) this.#recent.push(row)
    else this.#recent[Math.floor(Math.random() * RECENT_ROWS)] = row
    if (Math.random() < EAGER_SHARE) void this.#read(row)
  }

  async #read(row: string): Promise<void> {
    const startedAtUs = nowUs()
    try {
      const { value, layer } = await this.#entry(row).read(row.slice(row.indexOf(':') + 1))
      this.#log.write(
        `${row}\t${value?.value ?? 'absent'}\t${startedAtUs.toFixed(0)}\t${nowUs().toFixed(0)}\t${layer}\n`,
      )
    } catch {
      // A server is being killed: the answer is an error, and an error is never stale.
    }
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      if (this.#options.isIdle) {
        await new Promise((resolve) => setTimeout(resolve, 20))
        continue
      }
      await this.#read(this.#next())
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  }

  /** Mostly rows that change: of a row that never does no read can be wrong. */
  #next(): string {
    const pick = Math.random()
    if (pick < RECENT_SHARE && this.#recent.length > 0)
      return this.#recent[Math.floor(Math.random() * this.#recent.length)] ?? 'pgbench_branches:1'
    if (pick < 1 - ANY_SHARE)
      return `pgbench_tellers:${1 + Math.floor(Math.random() * (this.#options.accounts / ACCOUNTS_PER_TELLER))}`
    return `pgbench_accounts:${1 + Math.floor(Math.random() * this.#options.accounts)}`
  }

  async #serve(): Promise<{ close(): Promise<unknown> }> {
    const app = Fastify()
    await app.register(fastifyLockstep, { cache: this.#cache })
    app.get<{ Params: { table: string; id: string } }>('/balances/:table/:id', async (request, reply) => {
      const { table, id } = request.params
      const answer = await request.lockstep.read(this.#entry(`${table}:${id}`), id)
      if (answer === null) return reply.code(404).send({ error: 'no such row' })
      return { value: answer.value }
    })
    await app.listen({ port: this.#options.port, host: '127.0.0.1' })
    return app
  }
}

const reader = new ReaderProcess(JSON.parse(process.argv[2] ?? '{}') as ReaderOptions)
process.on('message', (request: ReaderRequest) => {
  if (request.kind === 'stop') reader.stop()
  else
    void reader.values(request.rows).then((values) => process.send?.({ kind: 'values', values } satisfies ReaderReply))
})
await reader.run()
process.disconnect?.()
