import { API_OPTIONS, startApi } from '@lockstep/api'
import { PURGER_CONFIG, startPurger } from '@lockstep/cdn-purger'
import { CONNECTOR_CONFIG, startConnector } from '@lockstep/connector'
import { INVALIDATOR_CONFIG, readyReasons, startInvalidator, type InvalidatorStatus } from '@lockstep/invalidator'
import { createKafkaLog, ensureTopics, TOPICS, type EventLog, type Logger } from '@lockstep/runtime'
import { readRules } from '../embedded/rules-file.ts'
import type { Command } from '../help.ts'
import { serviceCommand, type RunningService } from '../service-command.ts'

// Enough for several invalidators and purgers; watermarks cost one record per partition and heartbeat.
const PARTITIONS = { [TOPICS.changes]: 4, [TOPICS.purges]: 4, [TOPICS.control]: 1, [TOPICS.deadLetters]: 1 }

/** Connects the log of one service, creating what topics are missing. @throws LockstepError naming unreachable brokers. */
async function openKafka(
  brokers: readonly string[],
  namespace: string,
  service: string,
  logger: Logger,
): Promise<EventLog> {
  const connection = { brokers, namespace, clientId: `${namespace}-${service}`, logger }
  await ensureTopics(connection, PARTITIONS)
  return createKafkaLog(connection)
}

/** Closes the log after its service. */
function withLog(log: EventLog, service: RunningService): RunningService {
  return {
    closed: service.closed,
    status: () => service.status(),
    stop: async () => {
      await service.stop()
      await log.close()
    },
  }
}

const brokerList = (brokers: string | readonly string[]): string[] =>
  typeof brokers === 'string' ? brokers.split(',').map((broker) => broker.trim()) : [...brokers]

const alwaysReady = (_service: RunningService, isDraining: boolean) => ({
  ready: !isDraining,
  reasons: isDraining ? ['draining'] : [],
})

/** The services, each as a process of its own over Kafka. */
export const serviceCommands: readonly Command[] = [
  serviceCommand({
    name: 'connector',
    summary: 'Reads the replication stream and publishes changes, watermarks and generations',
    options: CONNECTOR_CONFIG,
    health: alwaysReady,
    async start(config, { log: logger, metrics }) {
      const rules = await readRules(config.rulesFile)
      const log = await openKafka(brokerList(config.kafkaBrokers), config.namespace, 'connector', logger)
      return withLog(log, await startConnector(config, { log, logger, metrics, rules }))
    },
  }),
  serviceCommand({
    name: 'invalidator',
    summary: 'Applies changes to Redis and the bus, and sends purge commands',
    options: INVALIDATOR_CONFIG,
    health: (service, isDraining) => readyReasons(service.status() as InvalidatorStatus, isDraining),
    async start(config, { log: logger, metrics }) {
      const rules = await readRules(config.rulesFile)
      const log = await openKafka(brokerList(config.kafkaBrokers), config.namespace, 'invalidator', logger)
      return withLog(log, await startInvalidator(config, { log, logger, metrics, rules }))
    },
  }),
  serviceCommand({
    name: 'cdn-purger',
    summary: 'Purges the edge behind a barrier, tier by tier, with rebounds',
    options: PURGER_CONFIG,
    health: alwaysReady,
    async start(config, { log: logger, metrics }) {
      const log = await openKafka(brokerList(config.kafkaBrokers), config.namespace, 'cdn-purger', logger)
      return withLog(log, await startPurger(config, { log, logger, metrics }))
    },
  }),
  serviceCommand({
    name: 'api',
    summary: 'The demo shop',
    options: API_OPTIONS,
    start: (config, { log, metrics }) => startApi(config, { log, metrics }),
  }),
]
