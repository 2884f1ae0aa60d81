import { createLogger, createMetrics, loadConfig, startAdminServer, systemTime } from '@lockstep/runtime'
import type { ConfigOf, EventLog, Logger, MetricsRegistry } from '@lockstep/runtime'
import { createFastlyProvider, FASTLY_LIMITS } from './adapters/fastly.ts'
import { createRedisAcks } from './adapters/redis-acks.ts'
import { createVarnishProvider } from './adapters/varnish.ts'
import { PURGER_CONFIG } from './config.ts'
import { fail } from './errors.ts'
import { LANE_POLICY } from './lane.ts'
import { createPurgerMetrics } from './metrics.ts'
import type { EdgeProvider, ProcessAcks } from './ports.ts'
import { createPurger } from './purger.ts'
import type { PurgerOptions, PurgerStatus } from './purger.ts'
import { parseTiers } from './tier-list.ts'
import type { ProviderSpec } from './tier-list.ts'

/** The effective options of a purger. */
export type PurgerConfig = ConfigOf<typeof PURGER_CONFIG>

/** What an embedding process shares with the purger. */
export interface StartPurgerDeps {
  /** The caller's log, which it closes itself. */
  readonly log: EventLog
  readonly logger?: Logger | undefined
  readonly metrics?: MetricsRegistry | undefined
  /** False: no admin server of its own. Default true. */
  readonly admin?: boolean | undefined
  /** Unsafe, for tests: switches protections off. */
  readonly unsafe?: PurgerOptions['unsafe']
}

/** A running purger. */
export interface RunningPurger {
  /** Port of the admin server; null without one. */
  readonly adminPort: number | null
  /** Rejects with what ended consuming unasked. */
  readonly closed: Promise<void>
  stop(): Promise<void>
  status(): PurgerStatus
}

function createProvider(spec: ProviderSpec, config: PurgerConfig): EdgeProvider {
  const { concurrency: connections, timeoutMs } = config
  const shared = { name: spec.name, url: spec.url, connections, timeoutMs, wallMs: () => systemTime.wallMs() }
  const token = spec.kind === 'varnish' ? config.varnishToken : config.fastlyToken
  if (token === '') throw fail('LOCKSTEP_CDN_TOKEN_MISSING', { provider: spec.kind })
  if (spec.kind === 'fastly') {
    const limits = { ...FASTLY_LIMITS, maxKeys: config.fastlyMaxKeys }
    return createFastlyProvider({ ...shared, token, soft: config.fastlySoft, limits })
  }
  const limits = { maxKeys: config.varnishMaxKeys, maxBytes: config.varnishMaxBytes }
  return createVarnishProvider({ ...shared, token, limits })
}

function createAcks(config: PurgerConfig, logger: Logger): ProcessAcks | null {
  if (config.redisUrl === '') return null
  return createRedisAcks({
    url: config.redisUrl,
    namespace: config.namespace,
    // The limit every Redis command of the product has; the barrier tries again every few ms.
    commandTimeoutMs: 100,
    onError: (error) => logger.debug({ error: error.message }, 'redis connection failed'),
  })
}

/**
 * Starts the purger over an event log.
 * @throws LOCKSTEP_CDN_BAD_TIERS, LOCKSTEP_CDN_TOKEN_MISSING, LOCKSTEP_CFG_PORT_IN_USE
 */
export async function startPurger(config: PurgerConfig, deps: StartPurgerDeps): Promise<RunningPurger> {
  const logger = deps.logger ?? createLogger({ service: 'cdn-purger', level: config.logLevel })
  const metrics = deps.metrics ?? createMetrics()
  const tiers = parseTiers(config.tiers).map((tier) => tier.map((spec) => createProvider(spec, config)))
  const purger = createPurger({
    log: deps.log,
    tiers,
    acks: createAcks(config, logger),
    time: systemTime,
    random: Math.random,
    logger,
    metrics: createPurgerMetrics(metrics, systemTime),
    options: {
      group: `${config.namespace}.cdn-purger`,
      maxStalenessMs: config.maxStalenessMs,
      reboundMs: config.reboundMs,
      // Below the 5 ms in which processes acknowledge.
      barrierPollMs: 3,
      maxBacklogKeys: config.maxBacklogKeys,
      drainMs: config.drainMs,
      lane: { ...LANE_POLICY, concurrency: config.concurrency },
      unsafe: deps.unsafe,
    },
  })
  let isReady = false
  const { adminHost: host, adminPort: port } = config
  const admin =
    deps.admin === false
      ? null
      : await startAdminServer({
          host,
          port,
          metrics,
          health: () => (isReady ? { ready: true } : { ready: false, reasons: ['not consuming'] }),
          status: () => purger.status(),
          portOption: 'LOCKSTEP_PURGER_ADMIN_PORT',
        })
  try {
    await purger.start()
  } catch (error) {
    await purger.stop()
    await admin?.close()
    throw error
  }
  isReady = true
  return {
    adminPort: admin?.port ?? null,
    closed: purger.closed,
    status: () => purger.status(),
    stop: async () => {
      isReady = false
      await purger.stop()
      await admin?.close()
    },
  }
}

/** Reads the options from environment and flags. @throws LOCKSTEP_CFG_INVALID naming every fault. */
export function readPurgerConfig(): PurgerConfig {
  return loadConfig(PURGER_CONFIG, { env: process.env, argv: process.argv.slice(2) })
}
