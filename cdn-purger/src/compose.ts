import { createKafkaLog, createLogger, createMetrics, systemTime } from '@lockstep/runtime'
import type { ConfigOf, EventLog, Logger, MetricsRegistry } from '@lockstep/runtime'
import { createFastlyProvider, FASTLY_LIMITS } from './adapters/fastly.ts'
import { createRedisAcks } from './adapters/redis-acks.ts'
import { createVarnishProvider } from './adapters/varnish.ts'
import type { PURGER_CONFIG } from './config.ts'
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

/** What a host process shares with the service; what it does not give, the service makes and closes itself. */
export interface StartPurgerDeps {
  readonly log?: EventLog | undefined
  readonly logger?: Logger | undefined
  readonly metrics?: MetricsRegistry | undefined
  /** Unsafe, for tests: switches protections off. */
  readonly unsafe?: PurgerOptions['unsafe']
}

/** A running purger. */
export interface RunningPurger {
  /** Settles when consuming ended; rejects with what broke it, and then the process should end. */
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
 * Starts the purger on the given log, else on Kafka.
 * @throws LOCKSTEP_CDN_BAD_TIERS, LOCKSTEP_CDN_TOKEN_MISSING, and what the log says when it cannot be reached.
 */
export async function startPurger(config: PurgerConfig, deps: StartPurgerDeps = {}): Promise<RunningPurger> {
  const { namespace } = config
  const logger = deps.logger ?? createLogger({ service: 'cdn-purger', level: config.logLevel })
  const tiers = parseTiers(config.tiers).map((tier) => tier.map((spec) => createProvider(spec, config)))
  const kafka = { brokers: config.kafkaBrokers, namespace, clientId: `${namespace}-cdn-purger`, logger }
  const log = deps.log ?? createKafkaLog(kafka)
  const purger = createPurger({
    log,
    tiers,
    acks: createAcks(config, logger),
    time: systemTime,
    random: Math.random,
    logger,
    metrics: createPurgerMetrics(deps.metrics ?? createMetrics(), systemTime),
    options: optionsOf(config, deps),
  })
  const stop = async (): Promise<void> => {
    await purger.stop()
    if (deps.log === undefined) await log.close()
  }
  try {
    await purger.start()
  } catch (error) {
    await stop()
    throw error
  }
  return { closed: purger.closed, stop, status: () => purger.status() }
}

function optionsOf(config: PurgerConfig, deps: StartPurgerDeps): PurgerOptions {
  const { maxStalenessMs, reboundMs, maxBacklogKeys, drainMs, concurrency } = config
  return {
    group: 'cdn-purger',
    maxStalenessMs,
    reboundMs,
    // Below the 5 ms in which processes acknowledge.
    barrierPollMs: 3,
    maxBacklogKeys,
    drainMs,
    lane: { ...LANE_POLICY, concurrency },
    unsafe: deps.unsafe,
  }
}
