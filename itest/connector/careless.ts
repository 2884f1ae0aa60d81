import { createKafkaLog, createLogger, ensureTopics, loadConfig, TOPICS, type EventLog } from '@lockstep/runtime'
import { CONNECTOR_CONFIG, startConnector } from '@lockstep/connector'

/** Which protection is off. */
export interface ChildOptions {
  /** Counts changes as accepted when they are handed over, this long before they are sent. */
  readonly acceptEarlyMs?: number
  /** Passes changes on before they are visible. */
  readonly noGate?: boolean
}

/** A log that promises what it has not done yet. */
function early(log: EventLog, ms: number): EventLog {
  return {
    produce(topic, records) {
      if (topic !== TOPICS.changes || records.every(({ key }) => key === null)) return log.produce(topic, records)
      setTimeout(() => void log.produce(topic, records).catch(() => undefined), ms)
      return Promise.resolve()
    },
    consume: (options, onBatch) => log.consume(options, onBatch),
    partitionCount: (topic) => log.partitionCount(topic),
    close: () => log.close(),
  }
}

const { acceptEarlyMs, noGate } = JSON.parse(process.argv[2] ?? '{}') as ChildOptions
const config = loadConfig(CONNECTOR_CONFIG, { env: process.env, argv: [] })
const logger = createLogger({ service: 'connector' })
const connection = { brokers: config.kafkaBrokers, namespace: config.namespace, clientId: 'careless', logger }
await ensureTopics(connection, { [TOPICS.changes]: 4, [TOPICS.control]: 1, [TOPICS.deadLetters]: 1 })
const log = createKafkaLog(connection)
await startConnector(config, {
  log: acceptEarlyMs === undefined ? log : early(log, acceptEarlyMs),
  logger,
  ...(noGate === undefined ? {} : { unsafe: { noGate } }),
})
logger.info({}, 'started')
