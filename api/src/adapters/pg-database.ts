import { Admission } from '@lockstep/cache'
import { retry } from '@lockstep/runtime'
import { clockOf, parseSnapshot, type Clock } from '@lockstep/schemas'
import pg from 'pg'
import type { Database, Sql } from '../database.ts'
import { fail } from '../errors.ts'
import type { Written } from '../ports.ts'

// SQLSTATE classes: connection exception, insufficient resources, operator intervention (shutdown, statement timeout).
const UNAVAILABLE = /^(?:08|53|57)/
// Serialization failure, deadlock, lock not available: the same transaction may succeed next time.
const CONTENDED = new Set(['40001', '40P01', '55P03'])
const FOREIGN_KEY_VIOLATION = '23503'
// A statement that the server should have ended by now: the network is gone.
const NETWORK_GRACE_MS = 1_000

/** Options of a pool. */
export interface PoolOptions {
  readonly databaseUrl: string
  readonly maxConnections: number
  /** Longest statement, and longest wait for a connection, ms. */
  readonly statementTimeoutMs: number
  /** How long to wait for a server that is being restarted, ms. Default 0: what needs it is refused at once. */
  readonly restartWaitMs?: number | undefined
  /** Name in pg_stat_activity. Default `lockstep-api`. */
  readonly applicationName?: string | undefined
  /**
   * How long a statement that is no load may wait for its turn, ms; who cannot have one in time is refused at once. Loads have
   * been admitted by the cache. Without it everybody waits for a connection.
   */
  readonly queueMs?: number | undefined
  /** Takes how long each statement or transaction waited for its connection, s. */
  readonly waited?: ((seconds: number) => void) | undefined
}

// A server that goes down or comes up, and what its address says meanwhile.
const RESTARTING = new Set([
  '57P01',
  '57P02',
  '57P03',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
])
const RESTART_PAUSE = { initialMs: 50, maxMs: 200 }

/** Opens a pool. Connections are made on demand. */
export function openPool({ applicationName = 'lockstep-api', ...options }: PoolOptions): pg.Pool {
  const pool = new pg.Pool({
    connectionString: options.databaseUrl,
    max: options.maxConnections,
    statement_timeout: options.statementTimeoutMs,
    query_timeout: options.statementTimeoutMs + NETWORK_GRACE_MS,
    connectionTimeoutMillis: options.statementTimeoutMs,
    keepAlive: true,
    application_name: applicationName,
  })
  // An idle connection that breaks is replaced on demand; the statement that needs one reports its own failure. The pool does
  // not listen to those it has lent, and an error that nobody listens to would end the process.
  pool.on('error', () => undefined)
  pool.on('connect', (client) => void client.on('error', () => undefined))
  return pool
}

/** Lends a connection, again where the server goes down before it is there, or for what `isRepeatable` says of the failure. */
type Lend = <T>(use: (client: pg.PoolClient) => Promise<T>, isRepeatable?: (cause: unknown) => boolean) => Promise<T>

/** Each try takes a turn of its own, so that nobody who waits for a restart keeps one. */
function lendFrom(pool: pg.Pool, { restartWaitMs = 0, waited }: PoolOptions, gate: Admission | null): Lend {
  return (use, isRepeatable = () => false) => {
    const since = performance.now()
    let isLent = false
    const lend = () =>
      withClient(
        () => connectTo(pool),
        (client) => {
          isLent = true
          waited?.((performance.now() - since) / 1_000)
          return use(client)
        },
      )
    const tryOnce = () => {
      isLent = false
      return gate === null ? lend() : gate.run(lend)
    }
    return throughRestart(restartWaitMs, tryOnce, (cause) => (isLent ? isRepeatable(cause) : isRestart(cause)))
  }
}

/** Opens the primary. Reads are repeated through a restart; a write only where the server says that it ended it. */
export function openDatabase(options: PoolOptions): Database {
  const pool = openPool(options)
  const { maxConnections, queueMs } = options
  const refusal = fail('LOCKSTEP_API_DATABASE_BUSY')
  const gate = queueMs === undefined ? null : new Admission({ maxConcurrent: maxConnections, queueMs, refusal })
  const lend = lendFrom(pool, options, null)
  const lendInTurn = lendFrom(pool, options, gate)
  return {
    ...sqlBy(lendInTurn),
    admits: () => gate?.admits() ?? true,
    loads: sqlBy(lend),
    write: (text, values) =>
      lendInTurn(async (client) => {
        // One statement is one transaction; the snapshot is taken after its commit, so it sees the write.
        const row = (await client.query(text, [...values])).rows[0] as never
        // The write stands, also where the server goes down before it tells the clock: any later one serves.
        return row ? { row, clock: await clockAfter(client).catch(() => lend(clockAfter)) } : null
      }, wasTerminated),
    transact: <T>(work: (sql: Sql) => Promise<T>) => lendInTurn((client) => transactOn(client, work)),
    use: () => ({
      total: pool.totalCount,
      idle: pool.idleCount,
      waiting: pool.waitingCount + (gate?.waiting ?? 0),
      refused: gate?.refused ?? 0,
      limit: maxConnections,
    }),
    close: () => pool.end(),
  }
}

async function transactOn<T>(client: pg.PoolClient, work: (sql: Sql) => Promise<T>): Promise<Written<T>> {
  await client.query('begin')
  try {
    const row = await work(sqlOf(client))
    await client.query('commit')
    return { row, clock: await clockAfter(client) }
  } catch (error) {
    // Where this fails too the connection is broken, and what broke it is the first error.
    await client.query('rollback').catch(() => undefined)
    throw error
  }
}

const sqlBy = (lend: Lend): Sql => ({
  rows: (name, text, values) => lend((client) => sqlOf(client).rows(name, text, values), isRestart),
})

/** Runs statements on one connection. */
export function sqlOf(client: pg.PoolClient): Sql {
  return {
    rows: async <T extends object>(name: string, text: string, values: readonly unknown[] = []): Promise<T[]> => {
      try {
        return (await client.query({ name, text, values: [...values] })).rows as T[]
      } catch (cause) {
        throw classify(cause)
      }
    },
  }
}

/** Takes a connection out of a pool. @throws LockstepError LOCKSTEP_API_DATABASE_UNREACHABLE where there is none. */
export async function connectTo(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect()
  } catch (cause) {
    throw classify(cause)
  }
}

/** Lends a connection; one whose fate is unknown is given to nobody else. */
export async function withClient<T>(
  connect: () => Promise<pg.PoolClient>,
  use: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await connect()
  let isBroken = false
  try {
    return await use(client)
  } catch (cause) {
    const error = classify(cause)
    // What the server did not refuse may still be running there.
    isBroken = isUnreachable(error) && !(cause instanceof pg.DatabaseError)
    throw error
  } finally {
    client.release(isBroken)
  }
}

async function clockAfter(client: pg.PoolClient): Promise<Clock> {
  const snapshot = await client.query<{ s: string }>('select pg_current_snapshot()::text as s')
  return clockOf(parseSnapshot(snapshot.rows[0]?.s ?? ''))
}

/** Repeats what a restarting server refused until `waitMs` have passed. */
function throughRestart<T>(waitMs: number, work: () => Promise<T>, isRefusal: (cause: unknown) => boolean): Promise<T> {
  const endsAtMs = performance.now() + waitMs
  const isRetriable = (error: unknown) => performance.now() < endsAtMs && isRefusal((error as Error).cause)
  return retry(work, { policy: RESTART_PAUSE, isRetriable })
}

// The server ends a session between statements or within one, which it then has rolled back.
function wasTerminated(cause: unknown): boolean {
  return cause instanceof pg.DatabaseError && cause.code === '57P01'
}

function isRestart(cause: unknown): boolean {
  if (!(cause instanceof Error)) return false
  // The driver has no code for it.
  return (
    RESTARTING.has((cause as { code?: string }).code ?? '') || cause.message === 'Connection terminated unexpectedly'
  )
}

function isUnreachable(error: unknown): boolean {
  return (error as { code?: unknown }).code === 'LOCKSTEP_API_DATABASE_UNREACHABLE'
}

/** Says what a failure of the driver means; what is ours already stays. */
function classify(cause: unknown): unknown {
  if (isOurs(cause)) return cause
  if (!(cause instanceof pg.DatabaseError)) return fail('LOCKSTEP_API_DATABASE_UNREACHABLE', {}, cause)
  if (cause.code === FOREIGN_KEY_VIOLATION) {
    const isCategory = cause.constraint === 'products_category_id_fkey'
    return fail(isCategory ? 'LOCKSTEP_API_UNKNOWN_CATEGORY' : 'LOCKSTEP_API_UNKNOWN_PRODUCT', {}, cause)
  }
  if (CONTENDED.has(cause.code ?? '')) return fail('LOCKSTEP_API_CONTENDED', {}, cause)
  return UNAVAILABLE.test(cause.code ?? '') ? fail('LOCKSTEP_API_DATABASE_UNREACHABLE', {}, cause) : cause
}

function isOurs(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' && code.startsWith('LOCKSTEP_')
}
