import { readFile } from 'node:fs/promises'
import { createKafkaLog, createLogger } from '@lockstep/runtime'
import type { EventLog, LatencyRecorder, Logger, MetricsRegistry } from '@lockstep/runtime'
import { parseRules, RulesError } from '@lockstep/schemas'
import type { RuleSet } from '@lockstep/schemas'
import { createPgSource } from './adapters/source.ts'
import type { StreamTuning } from './adapters/replication-stream.ts'
import type { Check } from './check.ts'
import type { ConnectorConfig } from './config.ts'
import { createConnector } from './connector.ts'
import type { ConnectorStatus } from './connector.ts'
import { fail } from './errors.ts'
import { runPreflight } from './preflight.ts'

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
  readonly unsafe?: ({ readonly noGate?: boolean | undefined } & StreamTuning) | undefined
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
  const connector = createConnector({
    config,
    rules,
    log,
    source: createPgSource({ url: config.databaseUrl, ...config, tuning: deps.unsafe }),
    memoryLog: deps.memoryLog ?? false,
    metrics: deps.metrics,
    logger,
    unsafe: deps.unsafe,
  })
  const stop = async (): Promise<void> => {
    await connector.stop()
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
      await connection.close()
    }
  } catch (error) {
    return await runPreflight({ facts: () => Promise.reject(error as Error) }, rules, config)
  }
}

async function readRules(path: string): Promise<RuleSet> {
  try {
    return parseRules(await readFile(path, 'utf8'))
  } catch (cause) {
    const lines = cause instanceof RulesError ? cause.faults : [String(cause)]
    throw fail('LOCKSTEP_CON_RULES', { path, faults: lines.map((line) => `  ${line}`).join('\n') }, cause)
  }
}
