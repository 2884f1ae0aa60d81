import type { Admin } from 'kafkajs'
import { describe, expect, test } from 'vitest'
import { compareTopics, KafkaAdmin } from './kafka-admin.ts'

/** Answers one list of topics after the other, then the last one for good. */
function brokerThatKnows(...answers: readonly Readonly<Record<string, number>>[]) {
  let asked = 0
  const fetchTopicMetadata = () => {
    const known = answers[Math.min(asked++, answers.length - 1)] ?? {}
    const topics = Object.entries(known).map(([name, count]) => ({
      name,
      partitions: Array.from({ length: count }, (_, partitionId) => ({
        partitionId,
        partitionErrorCode: 0,
        leader: 1,
        replicas: [1],
        isr: [1],
      })),
    }))
    return Promise.resolve({ topics })
  }
  return { fetchTopicMetadata, asked: () => asked }
}

describe('runtime/kafka-admin', () => {
  test('a broker that has not heard of a new topic yet is asked again', async () => {
    const broker = brokerThatKnows({}, { a: 4 }, { a: 4, b: 1 })
    await compareTopics(broker, [
      ['a', 4],
      ['b', 1],
    ])
    expect(broker.asked()).toBe(3)
  })

  test('another partition count is told at once', async () => {
    const broker = brokerThatKnows({ a: 3, b: 1 })
    const compared = compareTopics(broker, [
      ['a', 4],
      ['b', 1],
    ])
    await expect(compared).rejects.toMatchObject({
      code: 'LOCKSTEP_LOG_TOPIC',
      message: expect.stringContaining('a has 3 partitions, required are 4'),
    })
    expect(broker.asked()).toBe(1)
  })

  test('a broker that refuses to tell its topics is asked again, by a new admin', async () => {
    const knowing = brokerThatKnows({ a: 4 })
    let opened = 0
    const connect = () => {
      opened += 1
      // What kafkajs does where no broker answered its question.
      const refused = () => Promise.reject(new TypeError(`Cannot read properties of null (reading 'topicMetadata')`))
      const fetchTopicMetadata = opened === 1 ? refused : knowing.fetchTopicMetadata
      return Promise.resolve({ fetchTopicMetadata, disconnect: () => Promise.resolve() } as unknown as Admin)
    }
    const admin = new KafkaAdmin({ brokers: ['a:1'], namespace: 'n', clientId: 'c' }, connect)
    expect(await admin.partitionCount('a')).toBe(4)
    expect(opened).toBe(2)
  })
})
