import type { AddressInfo } from 'node:net'
import { randomBytes, randomUUID } from 'node:crypto'
import { systemTime } from '@lockstep/runtime'
import type { ConfigOf, Logger, MetricsRegistry } from '@lockstep/runtime'
import { createOidcAuthenticator } from '../adapters/oidc.ts'
import { openPg } from '../adapters/pg-database.ts'
import { createRedisFences, type RedisFences } from '../adapters/redis-fences.ts'
import { openSqlite } from '../adapters/sqlite-database.ts'
import { readTier } from '../adapters/tier-reader.ts'
import type { PURGER_CONFIG } from '../config.ts'
import { fail } from '../errors.ts'
import { noJournal } from '../journal/none.ts'
import type { JournalWriter } from '../journal/port.ts'
import { createJournalStore } from '../journal/sql-store.ts'
import type { JournalStore } from '../journal/store.ts'
import { WriteBehindJournal } from '../journal/write-behind.ts'
import { createJournalMetrics } from '../metrics.ts'
import type { EdgeProvider } from '../ports.ts'
import type { Purger } from '../purger.ts'
import type { ProviderSpec } from '../tier-list.ts'
import { createAuditLog, type AuditLog } from './audit.ts'
import { anyOf, createTokenAuthenticator, parseTokenLine, type Authenticator } from './auth.ts'
import { ConfirmTokens } from './confirm.ts'
import { createJobStore } from './job-store.ts'
import type { JobStore } from './jobs.ts'
import { adminRoutes } from './routes.ts'
import { JobRunner } from './runner.ts'
import type { ProviderOutput } from './schemas.ts'
import { buildAdminServer, type AdminLimits } from './server.ts'
import { verifyTiers } from './verify.ts'

type PurgerConfig = ConfigOf<typeof PURGER_CONFIG>

const DAY_MS = 86_400_000

/** The journal of a purger: what it writes to, and what the admin API reads. */
export interface OpenJournal {
  readonly writer: JournalWriter
  /** Null where nothing is journaled. */
  readonly read: { readonly store: JournalStore; readonly jobs: JobStore; readonly audit: AuditLog } | null
}

/** Opens the journal that the configuration names; its database need not answer yet. */
export function openJournal(
  { journalUrl, journalDays }: PurgerConfig,
  { logger, metrics }: { readonly logger: Logger; readonly metrics: MetricsRegistry },
): OpenJournal {
  if (journalUrl === '') return { writer: noJournal, read: null }
  const database = journalUrl.startsWith('sqlite:')
    ? openSqlite(journalUrl.slice('sqlite:'.length))
    : openPg({ url: journalUrl, onError: (error) => logger.warn({ error }, 'journal connection failed') })
  const [store, jobs, audit] = [createJournalStore(database), createJobStore(database), createAuditLog(database)]
  const prune = async (beforeMs: number): Promise<void> => {
    for (const each of [store, jobs, audit]) await each.prune(beforeMs)
  }
  const options = { retentionMs: journalDays * DAY_MS }
  const written = createJournalMetrics(metrics)
  const writer = new WriteBehindJournal({
    store: { write: async (entries) => store.write(entries), prune, close: async () => store.close() },
    time: systemTime,
    random: Math.random,
    logger,
    options,
    onWritten: written,
  })
  return { writer, read: { store, jobs, audit } }
}

/** What the admin API shares with the purger. */
export interface AdminApiDeps {
  readonly purger: Pick<Purger, 'submit' | 'status'>
  readonly journal: OpenJournal
  /** From the origin outward. */
  readonly tiers: readonly (readonly { readonly spec: ProviderSpec; readonly provider: EdgeProvider }[])[]
  readonly logger: Logger
  readonly limits?: Partial<AdminLimits> | undefined
}

/** A running admin API. */
export interface AdminApi {
  /** Null where it lets nobody in. */
  readonly port: number | null
  /** Stops answering, and lets go of the jobs; to be called before the purger stops. */
  stop(): Promise<void>
}

/**
 * Starts the admin API and the work on its jobs; null where there is no journal. Nobody is let in, and nothing listens,
 * where neither tokens nor an issuer are configured.
 * @throws LOCKSTEP_CDN_BAD_API_TOKENS, LOCKSTEP_CDN_API_PORT_IN_USE
 */
export async function startAdminApi(config: PurgerConfig, deps: AdminApiDeps): Promise<AdminApi | null> {
  const { journal, purger, logger } = deps
  if (!journal.read) return null
  const { store, jobs, audit } = journal.read
  const runner = new JobRunner({ jobs, journal: store, intake: purger, time: systemTime, logger })
  const authenticator = authenticatorOf(config)
  runner.start()
  if (!authenticator) return { port: null, stop: async () => runner.stop() }
  const fences = createFences(config, logger)
  const routes = adminRoutes({
    jobs,
    audit,
    journal: store,
    time: systemTime,
    confirm: new ConfirmTokens(confirmSecret(config), systemTime),
    newId: randomUUID,
    wake: () => runner.wake(),
    providers: () => providersOf(deps),
    verify: async (path, tags, signal) => {
      const fenceOf = async () => (fences ? fences.greatest(tags) : null)
      return await verifyTiers(readableTiers(config, deps), { read: readTier, fenceOf }, { path, tags, signal })
    },
    options: {
      reboundMs: config.reboundMs,
      confirmAboveKeys: config.apiConfirmAboveKeys,
      retentionMs: config.journalDays * DAY_MS,
    },
  })
  const app = buildAdminServer({ routes, authenticator, audit, time: systemTime, logger, limits: deps.limits })
  const stop = async (): Promise<void> => {
    await app.close()
    await runner.stop()
    fences?.close()
  }
  try {
    await app.listen({ host: config.apiHost, port: config.apiPort })
  } catch (cause) {
    await stop()
    const isTaken = (cause as NodeJS.ErrnoException).code === 'EADDRINUSE'
    throw isTaken ? fail('LOCKSTEP_CDN_API_PORT_IN_USE', { port: config.apiPort }, cause) : cause
  }
  return { port: (app.server.address() as AddressInfo).port, stop }
}

function authenticatorOf(config: PurgerConfig): Authenticator | null {
  const { apiTokens, apiOidcIssuer: issuer, apiOidcAudience: audience, apiOidcRoleClaim: roleClaim } = config
  const known: Authenticator[] = []
  try {
    if (apiTokens.length > 0) known.push(createTokenAuthenticator(apiTokens.map(parseTokenLine)))
  } catch (error) {
    throw fail('LOCKSTEP_CDN_BAD_API_TOKENS', { reason: (error as Error).message }, error)
  }
  if (issuer !== '') {
    const jwksUrl = config.apiOidcJwksUrl || `${issuer.replace(/\/$/, '')}/.well-known/jwks.json`
    known.push(createOidcAuthenticator({ issuer, audience, jwksUrl, roleClaim, timeoutMs: config.timeoutMs }))
  }
  return known.length === 0 ? null : anyOf(known)
}

/** The same in every purger with the same tokens, so that any of them takes what another handed out. */
function confirmSecret({ namespace, apiTokens }: PurgerConfig): string {
  return apiTokens.length === 0 ? randomBytes(32).toString('hex') : `${namespace} ${apiTokens.join()}`
}

function createFences({ redisUrl, namespace }: PurgerConfig, logger: Logger): RedisFences | null {
  if (redisUrl === '') return null
  return createRedisFences(redisUrl, namespace, ({ message }) => logger.debug({ error: message }, 'redis failed'))
}

function providersOf({ tiers, purger }: AdminApiDeps): ProviderOutput[] {
  const statuses = new Map(purger.status().providers.map((status) => [status.name, status]))
  return tiers.flat().flatMap(({ provider: { name, limits } }) => {
    const status = statuses.get(name)
    if (!status) return []
    const { drainMs, ...rest } = status
    const { maxKeys, maxBytes, concurrency, rates } = limits
    return [
      {
        ...rest,
        lanes: { ...rest.lanes },
        drainSeconds: drainMs === null ? null : drainMs / 1_000,
        limits: { maxKeys, maxBytes, concurrency, rates: [...rates] },
      },
    ]
  })
}

function readableTiers({ readUrls }: PurgerConfig, { tiers }: AdminApiDeps) {
  const given = new Map(readUrls.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
  return tiers.flat().map(({ spec: { name, kind, url } }) => {
    return { name, url: given.get(name) ?? (kind === 'varnish' ? url : null) }
  })
}
