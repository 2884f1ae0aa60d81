import { createKafkaLog, createLogger, createMetrics, systemTime } from '@lockstep/runtime'
import type { ConfigOf, EventLog, Logger, MetricsRegistry } from '@lockstep/runtime'
import { openJournal, startAdminApi, type AdminApi } from './admin/compose.ts'
import type { AdminLimits } from './admin/server.ts'
import { createRedisAcks } from './adapters/redis-acks.ts'
import type { PURGER_CONFIG } from './config.ts'
import { createPurgerMetrics } from './metrics.ts'
import type { ProcessAcks, PurgeIntake } from './ports.ts'
import { createBudget, createProvider } from './provider-setup.ts'
import { createPurger } from './purger.ts'
import type { PurgerOptions, PurgerStatus } from './purger.ts'
import { parseTiers } from './tier-list.ts'

/** The effective options of a purger. */
export type PurgerConfig = ConfigOf<typeof PURGER_CONFIG>

/** What a host process shares with the service; what it does not give, the service makes and closes itself. */
export interface StartPurgerDeps {
  readonly log?: EventLog | undefined
  readonly logger?: Logger | undefined
  readonly metrics?: MetricsRegistry | undefined
  /** How often callers of the admin API may ask. */
  readonly apiLimits?: Partial<AdminLimits> | undefined
  /** Unsafe, for tests: switches protections off. */
  readonly unsafe?: PurgerOptions['unsafe']
}

/** A running purger. */
export interface RunningPurger extends PurgeIntake {
  /** Port of the admin API; null where there is none. */
  readonly apiPort: number | null
  /** Settles when consuming ended; rejects with what broke it, and then the process should end. */
  readonly closed: Promise<void>
  stop(): Promise<void>
  status(): PurgerStatus
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
 * Starts the purger on the given log, else on Kafka.
 * @throws LOCKSTEP_CDN_BAD_TIERS, LOCKSTEP_CDN_BAD_LIMITS, LOCKSTEP_CDN_TOKEN_MISSING, LOCKSTEP_CDN_NO_SOFT_PURGE,
 *   LOCKSTEP_CDN_BAD_API_TOKENS, LOCKSTEP_CDN_API_PORT_IN_USE, and what the log says when it cannot be reached.
 */
export async function startPurger(config: PurgerConfig, deps: StartPurgerDeps = {}): Promise<RunningPurger> {
  const { namespace } = config
  const logger = deps.logger ?? createLogger({ service: 'cdn-purger', level: config.logLevel })
  const tiers = parseTiers(config.tiers).map((tier) =>
    tier.map((spec) => ({ spec, provider: createProvider(spec, config) })),
  )
  const kafka = { brokers: config.kafkaBrokers, namespace, clientId: `${namespace}-cdn-purger`, logger }
  const log = deps.log ?? createKafkaLog(kafka)
  const registry = deps.metrics ?? createMetrics()
  const metrics = createPurgerMetrics(registry, systemTime)
  const journal = openJournal(config, { logger, metrics: registry })
  const purger = createPurger({
    log,
    tiers: tiers.map((tier) => tier.map(({ provider }) => provider)),
    journal: journal.writer,
    acks: createAcks(config, logger),
    budgetOf: (provider) => createBudget(provider, config, { logger, metrics }),
    time: systemTime,
    random: Math.random,
    logger,
    metrics,
    options: optionsOf(config, deps),
  })
  let api: AdminApi | null = null
  const stop = async (): Promise<void> => {
    await api?.stop()
    await purger.stop()
    if (deps.log === undefined) await log.close()
  }
  try {
    api = await startAdminApi(config, { purger, journal, tiers, logger, limits: deps.apiLimits })
    await purger.start()
  } catch (error) {
    await stop()
    throw error
  }
  const submit: PurgeIntake['submit'] = async (lane, order) => purger.submit(lane, order)
  return { closed: purger.closed, stop, status: () => purger.status(), submit, apiPort: api?.port ?? null }
}

function optionsOf(config: PurgerConfig, deps: StartPurgerDeps): PurgerOptions {
  const { maxStalenessMs, reboundMs, maxBacklogKeys, drainMs, escalateAfterMs, escalateClasses } = config
  return {
    group: 'cdn-purger',
    maxStalenessMs,
    reboundMs,
    // Only where a hint was lost, or comes from nobody: an older process, or a Redis user that may not publish.
    barrierPollMs: 10,
    maxBacklogKeys,
    drainMs,
    escalation: { maxDrainMs: escalateAfterMs === 0 ? null : escalateAfterMs, classes: new Set(escalateClasses) },
    unsafe: deps.unsafe,
  }
}
