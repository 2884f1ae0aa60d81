import { randomUUID } from 'node:crypto'
import { inject } from 'vitest'
import { registerEventLogContract } from '../testing/event-log-contract.ts'
import { createKafkaLog, ensureTopics } from './kafka.ts'

declare module 'vitest' {
  interface ProvidedContext {
    kafkaBrokers: string[]
  }
}

registerEventLogContract(
  'the Kafka log',
  () => {
    const connection = { brokers: inject('kafkaBrokers'), namespace: `t${randomUUID()}`, clientId: 'contract' }
    return Promise.resolve({
      createTopic: async (count) => {
        await ensureTopics(connection, { t: count })
        return 't'
      },
      open: () => Promise.resolve(createKafkaLog(connection)),
      close: () => Promise.resolve(),
    })
  },
  { deadlineMs: 20_000 },
)
