import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { createCache, type Cache } from '@lockstep/cache'
import {
  createLogger,
  createMetrics,
  startAdminServer,
  systemTime,
  type AdminServer,
  type EventLog,
  type Logger,
  type MetricsRegistry,
} from '@lockstep/runtime'
import type { FastifyInstance } from 'fastify'
import { openDatabase } from './adapters/pg-database.ts'
import { shopReads, shopWrites } from './adapters/pg-shop.ts'
import { buildApp } from './app.ts'
import { API_OPTIONS, type ApiConfig } from './config.ts'
import { createDegradationLog } from './degradation-log.ts'
import { defineEntries } from './entries.ts'
import type { Database } from './database.ts'
import { fail } from './errors.ts'
import { createPoolMetrics, createProtectionMetrics } from './metrics.ts'
import { openLimits, type OpenLimits } from './compose-limits.ts'
import { modulesOf } from './compose-modules.ts'
import type { ModelReader } from './bestsellers/read-model.ts'
import { composeLog } from './worker/compose-log.ts'
import { openReadModel, type RedisReadModel } from './adapters/redis-read-model.ts'
import { composeSource, type ComposedSource } from './replicas/compose-replicas.ts'
import { mapSource } from './replicas/read-source.ts'
import { openLogin, type OpenLogin } from './compose-login.ts'
import type { Sessions } from './sessions/session.ts'
import { observeProcess, type ApiStatus, type Observer } from './status.ts'

/** A running API process. */
export interface RunningApi {
  readonly url: string
  readonly adminUrl: string
  status(): ApiStatus
  /** Answers what is in flight, then closes everything. Idempotent. */
  stop(): Promise<void>
}

/** What an embedding process may bring along. */
export interface ApiDeps {
  readonly log?: Logger | undefined
  readonly metrics?: MetricsRegistry | undefined
  /** Switches protections off so that tests can show what each of them holds. Never for production. */
  readonly unsafe?: { readonly unsafeTrustReplicas?: boolean | undefined } | undefined
  /** Believed instead of the JWTs that this process signs. */
  readonly sessions?: Sessions | undefined
}

// A reader of the bestsellers waits no longer for Redis than one of the cache does.
const READ_MODEL_TIMEOUT_MS = 100

/** Starts the API; it serves at once, also while Redis or Postgres are away. @throws LockstepError where a port is taken. */
export async function startApi(config: ApiConfig, deps: ApiDeps = {}): Promise<RunningApi> {
  const log = deps.log ?? createLogger({ service: 'api' })
  if (config.tokenSecret === API_OPTIONS.tokenSecret.default)
    log.warn({}, 'tokens are signed with the demo secret: set LOCKSTEP_TOKEN_SECRET')
  if (config.sessionSecret === API_OPTIONS.sessionSecret.default)
    log.warn({}, 'sessions are signed with the demo secret: set LOCKSTEP_API_SESSION_SECRET')
  const metrics = deps.metrics ?? createMetrics()
  const database = openShop(config, metrics)
  const cache = openCache(config, log)
  const observer = observeProcess({ cache, pool: () => database.use(), registry: metrics, time: systemTime })
  const limits = openLimits(config, createProtectionMetrics(metrics).refused)
  const replicas = composeSource(config, { cache, database, log, metrics, ...deps.unsafe })
  const queue = await composeLog(config, { logger: log, metrics })
  const model = openModel(config)
  const accounts = openLogin(config, limits, deps.sessions)
  const { sessions, login } = accounts
  const parts = { cache, database, log, model, limits, observer, sessions, login }
  const app = await appOf(config, { ...parts, source: replicas.source, queue: queue.log })
  let admin: AdminServer | undefined
  let isListening = false
  let stopping: Promise<void> | undefined
  const stopAll = async (): Promise<void> => {
    // Whoever sends requests here must have noticed before they are refused.
    if (isListening) await systemTime.sleep(config.drainMs)
    await app.close()
    limits.close()
    await accounts.close()
    await cache.stop()
    model.close()
    await queue.close()
    await Promise.all([database.close(), replicas.close()])
    await admin?.close()
  }
  const stop = (): Promise<void> => (stopping ??= stopAll())
  try {
    admin = await startAdminServer({
      host: config.adminHost,
      port: config.adminPort,
      portOption: API_OPTIONS.adminPort.env,
      metrics: observer.metrics,
      // Losing Redis degrades reads; it never takes the process out of service.
      health: () => {
        if (stopping) return { ready: false, reasons: ['draining'] }
        return isListening ? { ready: true } : { ready: false, reasons: ['starting'] }
      },
      status: () => ({ ...observer.status(), breakers: { limits: limits.breaker() } }),
    })
    await cache.start()
    const url = await listen(app, config)
    isListening = true
    return { url, adminUrl: `http://127.0.0.1:${admin.port}`, status: () => observer.status(), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function openShop(config: ApiConfig, metrics: MetricsRegistry): Database {
  return openDatabase({
    databaseUrl: config.databaseUrl,
    maxConnections: config.databaseConnections,
    statementTimeoutMs: config.statementTimeoutMs,
    restartWaitMs: config.databaseRestartWaitMs,
    queueMs: config.databaseQueueMs,
    ...createPoolMetrics(metrics),
  })
}

function openModel({ redisUrl: url, namespace }: ApiConfig): RedisReadModel {
  // Every reader is told itself when it fails.
  return openReadModel({ url, namespace, commandTimeoutMs: READ_MODEL_TIMEOUT_MS, failed: () => undefined })
}

function openCache(config: ApiConfig, log: Logger): Cache {
  return createCache({
    redis: { url: config.redisUrl },
    namespace: config.namespace,
    processId: config.processId || `${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`,
    maxStalenessMs: config.maxStalenessMs,
    l1: { maxBytes: config.l1Bytes },
    maxConcurrentLoads: config.maxConcurrentLoads,
    loadQueueMs: config.databaseQueueMs,
    events: {
      attached: (position) => log.info({ position }, 'bus attached'),
      flushed: (reason) => log.info({ reason }, 'caches flushed'),
      failed: createDegradationLog(log, systemTime),
    },
  })
}

/** What the application reads and writes. */
interface AppParts extends Omit<OpenLogin, 'close'> {
  readonly cache: Cache
  readonly database: Database
  readonly source: ComposedSource['source']
  readonly log: Logger
  /** Takes views and orders. */
  readonly queue: EventLog
  readonly model: ModelReader
  readonly limits: OpenLimits
  readonly observer: Observer
}

function appOf(
  config: ApiConfig,
  { cache, database, source, log, queue, model, limits, observer, sessions, login }: AppParts,
): Promise<FastifyInstance> {
  const reads = { cache, source, ttlMs: config.ttlMs }
  const { tokenSecret, edgeTtlSeconds } = config
  const degraded = createDegradationLog(log, systemTime)
  return buildApp({
    cache,
    log,
    limits,
    sessions,
    login,
    requests: observer.requests,
    hasDocs: config.docs,
    admits: () => database.admits(),
    shop: shopWrites(database),
    recent: shopReads(database),
    entries: defineEntries({ ...reads, source: mapSource(reads.source, shopReads) }),
    modules: modulesOf({ cache, database, reads, tokenSecret, edgeTtlSeconds, log: queue, model, degraded }),
    tokenSecret: config.tokenSecret,
    edgeTtlSeconds: config.edgeTtlSeconds,
    reboundMs: config.reboundMs,
    trustProxy: config.trustProxy || false,
    maxEventLoopDelayMs: config.maxEventLoopDelayMs,
    maxEventLoopUtilization: config.maxEventLoopUtilization,
  })
}

async function listen(app: FastifyInstance, { host, port }: ApiConfig): Promise<string> {
  try {
    return await app.listen({ host, port })
  } catch (cause) {
    const isTaken = (cause as NodeJS.ErrnoException).code === 'EADDRINUSE'
    throw isTaken ? fail('LOCKSTEP_API_PORT_IN_USE', { port }, cause) : cause
  }
}
