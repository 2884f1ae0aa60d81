import { readFile } from 'node:fs/promises'
import { createFenceWriter } from '@lockstep/cache'
import { createKafkaLog, createLogger, createMetrics, systemTime } from '@lockstep/runtime'
import type { EventLog, Logger, MetricsRegistry } from '@lockstep/runtime'
import { RulesError, parseRules } from '@lockstep/schemas'
import type { RuleSet } from '@lockstep/schemas'
import { connectRedis, untilReady } from './adapters/redis.ts'
import type { InvalidatorConfig } from './config.ts'
import { fail } from './errors.ts'
import { Invalidator } from './invalidator.ts'
import type { InvalidatorStatus, UnsafeInvalidatorOptions } from './invalidator.ts'

/** What a host process shares with the service; what it does not give, the service makes and closes itself. */
export interface StartDeps {
  readonly log?: EventLog | undefined
  readonly logger?: Logger | undefined
  readonly metrics?: MetricsRegistry | undefined
  /** Instead of reading `rulesFile`. */
  readonly rules?: RuleSet | undefined
  /** Tests only. */
  readonly unsafe?: UnsafeInvalidatorOptions | undefined
}

/** A running invalidator. */
export interface RunningInvalidator {
  /** Settles when consuming ended; rejects with what broke it, and then the process should end. */
  readonly closed: Promise<void>
  stop(): Promise<void>
  status(): InvalidatorStatus
}

/** Starts the service on Redis and the given log, else on Kafka. @throws LockstepError for rules that cannot be used. */
export async function startInvalidator(config: InvalidatorConfig, deps: StartDeps = {}): Promise<RunningInvalidator> {
  const logger = deps.logger ?? createLogger({ service: 'invalidator', level: config.logLevel })
  const rules = deps.rules ?? (await readRules(config.rulesFile))
  const { namespace } = config
  const redis = connectRedis({ url: config.redisUrl, namespace, timeoutMs: config.redisTimeoutMs, logger })
  const log =
    deps.log ??
    createKafkaLog({ brokers: config.kafkaBrokers, namespace, clientId: `${namespace}-invalidator`, logger })
  const invalidator = new Invalidator({
    log,
    writer: createFenceWriter({ redis, namespace, shortFenceMs: config.shortFenceMs }),
    rules,
    logger,
    metrics: deps.metrics ?? createMetrics(),
    time: systemTime,
    random: Math.random,
    echoMs: config.echoMs,
    unsafe: deps.unsafe,
  })
  const close = async (): Promise<void> => {
    await invalidator.stop()
    if (deps.log === undefined) await log.close()
    redis.disconnect()
  }
  try {
    // Else the first echo fails only because the connection does not stand yet.
    await untilReady(redis, config.redisTimeoutMs)
    await invalidator.start()
  } catch (error) {
    await close()
    throw error
  }
  return { closed: invalidator.closed, stop: close, status: () => invalidator.status() }
}

async function readRules(path: string): Promise<RuleSet> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    throw fail('LOCKSTEP_INV_RULES_UNREADABLE', { path }, cause)
  }
  try {
    return parseRules(text)
  } catch (cause) {
    const faults = cause instanceof RulesError ? cause.faults.map((fault) => `  ${fault}`).join('\n') : String(cause)
    throw fail('LOCKSTEP_INV_RULES_INVALID', { path, faults }, cause)
  }
}
