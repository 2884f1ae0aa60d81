import { createHash } from 'node:crypto'
import { silentLogger } from '@lockstep/runtime'
import { FakeTime } from '@lockstep/runtime/testing'
import { openSqlite } from '../adapters/sqlite-database.ts'
import { createAuditLog, type AuditLog } from '../admin/audit.ts'
import { createTokenAuthenticator, ROLES } from '../admin/auth.ts'
import { ConfirmTokens } from '../admin/confirm.ts'
import { createJobStore } from '../admin/job-store.ts'
import type { JobStore } from '../admin/jobs.ts'
import type { AdminRoute } from '../admin/route.ts'
import { adminRoutes } from '../admin/routes.ts'
import { JobRunner, type RunnerOptions } from '../admin/runner.ts'
import { buildAdminServer, type AdminLimits } from '../admin/server.ts'
import { createJournalStore } from '../journal/sql-store.ts'
import type { JournalStore } from '../journal/store.ts'
import type { OrderOutcome, PurgeIntake, PurgeOrder } from '../ports.ts'

/** Takes orders and ends them when told, or at once. */
export class FakeIntake implements PurgeIntake {
  readonly orders: (PurgeOrder & { readonly lane: string })[] = []
  /** How orders end; null leaves them open until `endAll`. */
  answer: OrderOutcome | null = { kind: 'purged' }
  #open: (() => void)[] = []

  get tags(): string[] {
    return this.orders.map(({ command }) => command.tag)
  }

  submit(lane: 'replay' | 'manual', order: PurgeOrder): Promise<OrderOutcome> {
    this.orders.push({ ...order, lane })
    const { answer } = this
    if (answer) return Promise.resolve(answer)
    return new Promise((resolve) => this.#open.push(() => resolve({ kind: 'purged' })))
  }

  /** Ends the first `count` open orders. */
  end(count: number): void {
    for (const end of this.#open.splice(0, count)) end()
  }
}

/** Who is let into a test's API: the token is the name. */
export const PEOPLE = [...ROLES.map((role) => ({ name: role, role })), { name: 'second', role: 'admin' as const }]

/** The lines of `PEOPLE`. */
export const TOKEN_LINES = PEOPLE.map(({ name, role }) => ({
  name,
  role,
  hash: createHash('sha256').update(name).digest('hex'),
}))

/** An admin API over a real store in memory, fake time and a fake intake. */
export interface AdminScene {
  readonly time: FakeTime
  readonly journal: JournalStore
  readonly jobs: JobStore
  readonly audit: AuditLog
  readonly intake: FakeIntake
  readonly runner: JobRunner
  readonly routes: readonly AdminRoute[]
  /** Another runner on the same store: the next process. */
  nextRunner(): JobRunner
  call(as: string, method: 'GET' | 'POST', path: string, more?: CallMore): Promise<Reply>
  close(): Promise<void>
}

/** A body and headers. */
export interface CallMore {
  readonly body?: unknown
  readonly key?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** What was answered. */
export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly text: string
  // oxlint-disable-next-line typescript/no-explicit-any -- a test reads what it expects
  readonly body: any
}

/** Limits that no test meets by accident. */
export const GENEROUS: AdminLimits = {
  reads: { perSecond: 1e6, burst: 1e6 },
  writes: { perSecond: 1e6, burst: 1e6 },
  failures: { perSecond: 1e6, burst: 1e6 },
}

/** Opens a scene; nothing runs by itself until `runner.start()`. */
export function adminScene(
  options: { confirmAboveKeys?: number; limits?: Partial<AdminLimits>; runner?: Partial<RunnerOptions> } = {},
): AdminScene {
  const time = new FakeTime(Date.UTC(2026, 10, 21))
  const database = openSqlite(':memory:')
  const journal = createJournalStore(database)
  const jobs = createJobStore(database)
  const audit = createAuditLog(database)
  const intake = new FakeIntake()
  const newRunner = () =>
    new JobRunner({ jobs, journal, intake, time, logger: silentLogger, options: { ...options.runner } })
  const runner = newRunner()
  let made = 0
  const routes = adminRoutes({
    journal,
    jobs,
    audit,
    time,
    confirm: new ConfirmTokens('secret', time),
    newId: () => `job-${++made}`,
    wake: () => runner.wake(),
    providers: () => [provider('shield', 0), provider('edge', 1)],
    verify: (path) => Promise.resolve([{ ...VERDICT, url: `http://edge${path}` }]),
    options: { reboundMs: 2_000, confirmAboveKeys: options.confirmAboveKeys ?? 1_000, retentionMs: 30 * 86_400_000 },
  })
  const authenticator = createTokenAuthenticator(TOKEN_LINES)
  const limits = { ...GENEROUS, ...options.limits }
  const app = buildAdminServer({ routes, authenticator, audit, time, logger: silentLogger, limits })
  return {
    time,
    journal,
    jobs,
    audit,
    intake,
    runner,
    routes,
    nextRunner: newRunner,
    async call(as, method, path, { body, key, headers } = {}) {
      const answer = await app.inject({
        method,
        url: path,
        headers: {
          ...(as === '' ? {} : { authorization: `Bearer ${as}` }),
          ...(key === undefined ? {} : { 'idempotency-key': key }),
          ...headers,
        },
        ...(body === undefined ? {} : { payload: body as object }),
      })
      const isJson = String(answer.headers['content-type']).includes('json') && !answer.payload.includes('}\n{')
      return {
        status: answer.statusCode,
        headers: answer.headers,
        text: answer.payload,
        body: isJson ? JSON.parse(answer.payload) : undefined,
      }
    },
    async close() {
      await app.close()
      await runner.stop()
      await database.close()
    },
  }
}

const VERDICT = {
  tier: 'edge',
  verdict: 'fresh' as const,
  status: 200,
  ageSeconds: 1,
  stamp: null,
  fence: null,
  detail: null,
}

function provider(name: string, tier: number) {
  return {
    name,
    tier,
    state: 'open' as const,
    backlog: 0,
    inFlight: 0,
    budgetFill: 1,
    drainSeconds: 0,
    lanes: { live: 0, rebound: 0, replay: 0, manual: 0 },
    limits: {
      maxKeys: 10,
      maxBytes: 10_000,
      concurrency: 2,
      rates: [{ unit: 'requests' as const, perSecond: 2, burst: 1 }],
    },
  }
}
