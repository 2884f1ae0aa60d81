import { readFile } from 'node:fs/promises'
import { createKafkaLog, createLogger } from '@lockstep/runtime'
import type { EventLog, LatencyRecorder, Logger, MetricsRegistry } from '@lockstep/runtime'
import { parseRules, RulesError } from '@lockstep/schemas'
import type { RuleSet } from '@lockstep/schemas'
import { createPgSource } from './adapters/source.ts'
import type { StreamTuning } from './adapters/replication-stream.ts'
import { refusalOf, type Check } from './check.ts'
import type { ConnectorConfig } from './config.ts'
import { createConnector } from './connector.ts'
import type { ConnectorStatus } from './connector.ts'
import { fail } from './errors.ts'
import type { UnsafeSwitches } from './ports.ts'
import { runPreflight } from './preflight.ts'
import { sourceSql } from './source-sql.ts'

/** What a host process shares with the service; what it does not give, the service makes and closes itself. */
export interface StartDeps {
  readonly log?: EventLog | undefined
  readonly logger?: Logger | undefined
  readonly metrics?: MetricsRegistry | undefined
  /** Instead of reading `rulesFile`. */
  readonly rules?: RuleSet | undefined
  /** True when the given log does not outlive the process: every start then begins a generation. */
  readonly memoryLog?: boolean | undefined
  /** Ends a start that waits for the database or the log. */
  readonly signal?: AbortSignal | undefined
  /** Tests only: switches protections off. */
  readonly unsafe?: (UnsafeSwitches & StreamTuning) | undefined
}

/** A running connector. */
export interface RunningConnector {
  /** Settles when the connector has ended; rejects with what no new attempt can mend. */
  readonly closed: Promise<void>
  /** Commit (Postgres' clock) to the log's acknowledgement, per record. */
  readonly commitToProduced: LatencyRecorder
  stop(): Promise<void>
  status(): ConnectorStatus
}

/**
 * Starts the service on the given log, else on Kafka; resolves once the stream is open.
 * @throws LockstepError (config) listing every fault of the database or the rules.
 */
export async function startConnector(config: ConnectorConfig, deps: StartDeps = {}): Promise<RunningConnector> {
  const logger = deps.logger ?? createLogger({ service: 'connector', level: config.logLevel })
  const rules = deps.rules ?? (await readRules(config.rulesFile))
  const { namespace } = config
  const log =
    deps.log ?? createKafkaLog({ brokers: config.kafkaBrokers, namespace, clientId: `${namespace}-connector`, logger })
  const source = createPgSource({ url: config.databaseUrl, ...config, tuning: deps.unsafe })
  const connector = createConnector({
    config,
    rules,
    log,
    source,
    memoryLog: deps.memoryLog ?? false,
    metrics: deps.metrics,
    logger,
    unsafe: deps.unsafe,
  })
  const stop = async (): Promise<void> => {
    await connector.stop()
    await source.cleanUp().catch((error: unknown) => {
      logger.warn({ err: error }, `the publication stays: DROP PUBLICATION "${config.publication}";`)
    })
    if (deps.log === undefined) await log.close()
  }
  deps.signal?.addEventListener('abort', () => void stop(), { once: true })
  try {
    await connector.start()
  } catch (error) {
    await stop()
    throw error
  }
  const { closed, commitToProduced } = connector
  return { closed, commitToProduced, stop, status: () => connector.status() }
}

/** Checks the source database without changing anything: what `lockstep doctor` prints. */
export async function checkSource(config: ConnectorConfig, rules: RuleSet): Promise<Check[]> {
  const source = createPgSource({ url: config.databaseUrl, ...config })
  try {
    const connection = await source.connect()
    try {
      return await runPreflight(connection.catalog, rules, config)
    } finally {
      await connection.link.close()
    }
  } catch (error) {
    return await runPreflight({ facts: () => Promise.reject(error as Error) }, rules, config)
  }
}

/** Prints the statements that make the source database ready for a connector with that role; changes nothing. */
export async function prepareSql(config: ConnectorConfig, rules: RuleSet, role: string): Promise<string> {
  const source = createPgSource({ url: config.databaseUrl, ...config })
  const connection = await source.connect()
  try {
    const facts = await connection.catalog.facts([...rules.tables.keys()])
    return sourceSql({ facts, rules, config, role })
  } finally {
    await connection.link.close()
  }
}

/** Says how `assertSource` judges. */
export interface AssertOptions {
  /** Instead of reading `rulesFile`. */
  readonly rules?: RuleSet | undefined
  /** An unreachable database is no fault: the connector will wait for it. */
  readonly mayBeAway?: boolean | undefined
}

/** Refuses a source that is not ready, before anything is made anywhere. @throws LOCKSTEP_CON_PREFLIGHT with every fault. */
export async function assertSource(config: ConnectorConfig, options: AssertOptions = {}): Promise<void> {
  const checks = await checkSource(config, options.rules ?? (await readRules(config.rulesFile)))
  const isAway =
    options.mayBeAway === true && checks.some((check) => check.name === 'reachable' && check.severity === 'error')
  const refusal = isAway ? undefined : refusalOf(checks)
  if (refusal) throw refusal
}

async function readRules(path: string): Promise<RuleSet> {
  try {
    return parseRules(await readFile(path, 'utf8'))
  } catch (cause) {
    const lines = cause instanceof RulesError ? cause.faults : [String(cause)]
    throw fail('LOCKSTEP_CON_RULES', { path, faults: lines.map((line) => `  ${line}`).join('\n') }, cause)
  }
}
