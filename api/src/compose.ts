import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { createCache, type Cache } from '@lockstep/cache'
import {
  createLogger,
  createMetrics,
  startAdminServer,
  systemTime,
  type AdminServer,
  type ConfigOf,
  type Logger,
  type MetricsRegistry,
} from '@lockstep/runtime'
import type { FastifyInstance } from 'fastify'
import { openShop, type Shop } from './adapters/pg-shop.ts'
import { buildApp } from './app.ts'
import { API_OPTIONS } from './config.ts'
import { createDegradationLog } from './degradation-log.ts'
import { defineEntries } from './entries.ts'
import { fail } from './errors.ts'
import { createProtectionMetrics } from './metrics.ts'
import { openLimits, type OpenLimits } from './compose-limits.ts'
import { observeProcess, type ApiStatus, type Observer } from './status.ts'

/** The values of the API's options. */
export type ApiConfig = ConfigOf<typeof API_OPTIONS>

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
}

/** Starts the API; it serves at once, also while Redis or Postgres are away. @throws LockstepError where a port is taken. */
export async function startApi(config: ApiConfig, deps: ApiDeps = {}): Promise<RunningApi> {
  const log = deps.log ?? createLogger({ service: 'api' })
  if (config.tokenSecret === API_OPTIONS.tokenSecret.default)
    log.warn({}, 'tokens are signed with the demo secret: set LOCKSTEP_TOKEN_SECRET')
  const shop = openShop({
    databaseUrl: config.databaseUrl,
    maxConnections: config.databaseConnections,
    statementTimeoutMs: config.statementTimeoutMs,
  })
  const cache = openCache(config, log)
  const registry = deps.metrics ?? createMetrics()
  const observer = observeProcess({ cache, pool: () => shop.use(), registry, time: systemTime })
  const limits = openLimits(config, createProtectionMetrics(registry).refused)
  const app = await appOf(config, { cache, shop, log, limits, observer })
  let admin: AdminServer | undefined
  let isListening = false
  let stopping: Promise<void> | undefined
  const stopAll = async (): Promise<void> => {
    await app.close()
    limits.close()
    await cache.stop()
    await shop.close()
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
      status: () => observer.status(),
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

function openCache(config: ApiConfig, log: Logger): Cache {
  return createCache({
    redis: { url: config.redisUrl },
    namespace: config.namespace,
    processId: config.processId || `${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`,
    maxStalenessMs: config.maxStalenessMs,
    l1: { maxBytes: config.l1Bytes },
    maxConcurrentLoads: config.maxConcurrentLoads,
    events: {
      attached: (position) => log.info({ position }, 'bus attached'),
      flushed: (reason) => log.info({ reason }, 'caches flushed'),
      failed: createDegradationLog(log, systemTime),
    },
  })
}

interface AppParts {
  readonly cache: Cache
  readonly shop: Shop
  readonly log: Logger
  readonly limits: OpenLimits
  readonly observer: Observer
}

function appOf(config: ApiConfig, { observer, ...parts }: AppParts): Promise<FastifyInstance> {
  return buildApp({
    ...parts,
    requests: observer.requests,
    recent: parts.shop,
    entries: defineEntries(parts.cache, parts.shop, config.ttlMs),
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
