import { createKafkaLog, ensureTopics, TOPICS, type EventLog, type Logger } from '@lockstep/runtime'
import type { RunningService } from './service-command.ts'

// Enough for several invalidators and purgers; watermarks cost one record per partition and heartbeat.
const PARTITIONS = { [TOPICS.changes]: 4, [TOPICS.purges]: 4, [TOPICS.control]: 1, [TOPICS.deadLetters]: 1 }

/** Whose log it is. */
export interface KafkaOptions {
  readonly brokers: string | readonly string[]
  readonly namespace: string
  readonly service: string
  readonly logger: Logger
  /** Topics besides those of the pipeline. */
  readonly partitions?: Readonly<Record<string, number>> | undefined
}

/** Connects the log of one service, creating what topics are missing. @throws LockstepError naming unreachable brokers. */
export async function openKafka({ brokers, namespace, service, logger, partitions }: KafkaOptions): Promise<EventLog> {
  const list = typeof brokers === 'string' ? brokers.split(',').map((broker) => broker.trim()) : [...brokers]
  const connection = { brokers: list, namespace, clientId: `${namespace}-${service}` }
  // Without the logger: what goes wrong here is thrown, and told once.
  await ensureTopics(connection, { ...PARTITIONS, ...partitions })
  return createKafkaLog({ ...connection, logger })
}

/** Closes the log after its service. */
export function withLog(log: EventLog, service: RunningService): RunningService {
  return {
    closed: service.closed,
    status: () => service.status(),
    stop: async () => {
      await service.stop()
      await log.close()
    },
  }
}
