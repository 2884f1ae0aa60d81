import { PURGER_CONFIG, startPurger, type PurgerStatus } from '@lockstep/cdn-purger'
import { CONNECTOR_CONFIG, startConnector, type ConnectorConfig } from '@lockstep/connector'
import { INVALIDATOR_CONFIG, startInvalidator, type InvalidatorStatus } from '@lockstep/invalidator'
import { createMemoryLog, loadConfig, type Logger, type MetricsRegistry } from '@lockstep/runtime'
import type { RuleSet } from '@lockstep/schemas'

/** What one process needs to keep the caches of one database in step. */
export interface PipelineOptions {
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly namespace: string
  readonly rules: RuleSet
  readonly maxStalenessMs: number
  readonly reboundMs: number
  /** Edge tiers as the purger names them; empty for none. */
  readonly tiers: string
  readonly edgeToken: string
  /** The purger's journal and admin API; neither unless given. */
  readonly purgerApi?: PurgerApiOptions | undefined
  readonly log: Logger
  readonly metrics: MetricsRegistry
  /** Ends a start that waits for the database. */
  readonly signal?: AbortSignal | undefined
  /** Least time between two snapshots, ms. Default 0. */
  readonly lingerMs?: number | undefined
  /** Tests only: the gate lets changes pass before they are visible. */
  readonly unsafeNoGate?: boolean | undefined
}

/** Where an embedded purger journals, and who may ask it. */
export interface PurgerApiOptions {
  readonly journalUrl: string
  readonly host: string
  /** 0 takes any free one. */
  readonly port: number
  /** As `LOCKSTEP_PURGER_API_TOKENS`. */
  readonly tokens: readonly string[]
}

/** A running pipeline. */
export interface Pipeline {
  /** Port of the purger's admin API; null where there is none. */
  readonly apiPort: number | null
  /** Rejects with what broke it. */
  readonly closed: Promise<void>
  stop(): Promise<void>
  status(): PipelineStatus
}

/** What every stage says of itself. */
export interface PipelineStatus {
  readonly connector: object
  readonly invalidator: InvalidatorStatus
  readonly purger: PurgerStatus | null
}

/** The connector's options where it runs inside the process: its slot vanishes with it. */
export function embeddedConnector(options: Pick<PipelineOptions, 'databaseUrl' | 'namespace'>): ConnectorConfig {
  return loadConfig(CONNECTOR_CONFIG, {
    env: {
      [CONNECTOR_CONFIG.namespace.env]: options.namespace,
      [CONNECTOR_CONFIG.databaseUrl.env]: options.databaseUrl,
      [CONNECTOR_CONFIG.temporarySlot.env]: 'true',
    },
  })
}

/**
 * Starts connector, invalidator and purger in this process over the memory log. The slot is temporary: it vanishes with the
 * connection however the process ends; `stop` also drops the publication if it was made here (ADR 0002).
 * @throws LockstepError naming everything that is missing on the database.
 */
export async function startPipeline(options: PipelineOptions): Promise<Pipeline> {
  const { rules, log: logger, metrics, namespace, redisUrl, maxStalenessMs, reboundMs } = options
  const log = createMemoryLog()
  const started: { stop(): Promise<void> }[] = [{ stop: () => log.close() }]
  const stop = async () => {
    // The source first: what it has sent is still applied.
    for (const service of started.splice(0).toReversed()) await service.stop()
  }
  const shared = { LOCKSTEP_NAMESPACE: namespace, LOCKSTEP_REDIS_URL: redisUrl }
  try {
    const purger = options.tiers === '' ? null : await startPurgerOf(options, log)
    if (purger) started.push(purger)
    const invalidatorConfig = loadConfig(INVALIDATOR_CONFIG, { env: shared })
    const invalidator = await startInvalidator(invalidatorConfig, { log, logger, metrics, rules })
    started.push(invalidator)
    const connector = await startConnector(embeddedConnector(options), {
      signal: options.signal,
      log,
      logger,
      metrics,
      rules,
      memoryLog: true,
      ...(options.unsafeNoGate ? { unsafe: { noGate: true } } : {}),
    })
    started.push(connector)
    const closed = Promise.race([connector.closed, invalidator.closed, ...(purger ? [purger.closed] : [])])
    return {
      apiPort: purger?.apiPort ?? null,
      closed,
      stop,
      status: () => ({
        connector: { ...connector.status(), commitToProduced: connector.commitToProduced.summary() },
        invalidator: invalidator.status(),
        purger: purger?.status() ?? null,
      }),
    }
  } catch (error) {
    await stop()
    throw error
  }

  async function startPurgerOf({ tiers, edgeToken, purgerApi: api }: PipelineOptions, ownLog: typeof log) {
    const journal = api && {
      [PURGER_CONFIG.journalUrl.env]: api.journalUrl,
      [PURGER_CONFIG.apiHost.env]: api.host,
      [PURGER_CONFIG.apiPort.env]: String(api.port),
      [PURGER_CONFIG.apiTokens.env]: api.tokens.join(),
    }
    const config = loadConfig(PURGER_CONFIG, {
      env: {
        ...shared,
        LOCKSTEP_PURGER_TIERS: tiers,
        LOCKSTEP_PURGER_VARNISH_TOKEN: edgeToken,
        LOCKSTEP_PURGER_FASTLY_TOKEN: edgeToken,
        LOCKSTEP_MAX_STALENESS_MS: String(maxStalenessMs),
        LOCKSTEP_REBOUND_MS: String(reboundMs),
        ...journal,
      },
    })
    return await startPurger(config, { log: ownLog, logger, metrics })
  }
}
