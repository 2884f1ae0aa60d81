import type { EventLog, Subscription } from '../event-log.ts'
import { logError } from './errors.ts'
import { KafkaAdmin } from './kafka-admin.ts'
import type { KafkaConnection } from './kafka-client.ts'
import { DEFAULT_TIMINGS, startConsumer, type ConsumerTimings } from './kafka-consumer.ts'
import { KafkaProducer } from './kafka-producer.ts'
import { Partitioner } from './partitioner.ts'

export { ensureTopics } from './kafka-admin.ts'
export type { KafkaConnection } from './kafka-client.ts'

/** Sets up the log on Kafka. */
export interface KafkaLogOptions extends KafkaConnection {
  readonly timings?: Partial<ConsumerTimings> | undefined
}

/**
 * Creates the log on Kafka topics, which must exist (`ensureTopics`). Connects with the first call, so creating never
 * fails. No transactional producer may write to its topics: their markers look like lost records.
 */
export function createKafkaLog(options: KafkaLogOptions): EventLog {
  const admin = new KafkaAdmin(options)
  const counts = new Map<string, number>()
  const subscriptions = new Set<Subscription>()
  const timings = { ...DEFAULT_TIMINGS, ...options.timings }
  let closing: Promise<void> | undefined

  const nameOf = (name: string): string => `${options.namespace}.${name}`
  // Kept for the life of the process: a topic that grows would move keys to other partitions behind our back.
  const countOf = async (topic: string): Promise<number> => {
    const count = counts.get(topic) ?? (await admin.partitionCount(topic))
    counts.set(topic, count)
    return count
  }
  const producer = new KafkaProducer(options, async (topic) => new Partitioner(await countOf(topic)))

  return {
    produce(topic, records) {
      return producer.produce(nameOf(topic), records)
    },
    async consume({ topic, group }, onBatch) {
      if (closing !== undefined) throw logError('LOCKSTEP_LOG_CLOSED', { topic })
      const partitions = await countOf(nameOf(topic))
      const subscription = await startConsumer(
        {
          connection: options,
          admin,
          topic: nameOf(topic),
          logicalTopic: topic,
          group: group === null ? null : nameOf(group),
          partitions,
          timings,
        },
        onBatch,
      )
      subscriptions.add(subscription)
      const forget = () => subscriptions.delete(subscription)
      subscription.closed.then(forget, forget)
      return subscription
    },
    partitionCount(topic) {
      return countOf(nameOf(topic))
    },
    close() {
      // Handlers may produce until they have returned, so the producer goes after them.
      closing ??= Promise.all([...subscriptions].map((subscription) => subscription.stop()))
        .then(() => producer.close())
        .then(() => admin.close())
      return closing
    },
  }
}
