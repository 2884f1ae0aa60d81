import { existsSync, readlinkSync } from 'node:fs'
import { Kafka, logLevel } from 'kafkajs'
import { describe, expect, inject, test } from 'vitest'
import { dockerHasImage } from './docker.ts'
import { startKafka, type KafkaServer } from './kafka.ts'
import { isRunning } from './processes.ts'
import { pollUntil } from './wait.ts'
import { only } from './testing/config.ts'

const clientOf = (brokers: string[]) =>
  new Kafka({
    brokers,
    clientId: 'servers-test',
    logLevel: logLevel.NOTHING,
    retry: { retries: 8, initialRetryTime: 50 },
  })

const local = only('binary', 'package')
const docker = only('docker')
const hasImage = await dockerHasImage('apache/kafka:4.3.1', docker.dockerHost)

async function send(brokers: string[], topic: string, values: string[]): Promise<void> {
  const admin = clientOf(brokers).admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: true })
  await admin.disconnect()
  const producer = clientOf(brokers).producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  await producer.send({ topic, acks: -1, messages: values.map((value) => ({ value })) })
  await producer.disconnect()
}

async function read(brokers: string[], topic: string, count: number): Promise<string[]> {
  const consumer = clientOf(brokers).consumer({ groupId: `${topic}-readers`, maxWaitTimeInMs: 100 })
  const values: string[] = []
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    eachMessage: ({ message }) => {
      values.push(message.value?.toString() ?? '')
      return Promise.resolve()
    },
  })
  await pollUntil(() => values.length >= count, 20_000)
  await consumer.disconnect()
  return values
}

async function valuesAfterKill(kafka: KafkaServer): Promise<string[]> {
  await send(kafka.brokers, 'kept', ['a', 'b'])
  await kafka.kill9()
  await kafka.restart()
  return read(kafka.brokers, 'kept', 2)
}

describe('servers/kafka', () => {
  test('the project provides brokers that take and give messages', async () => {
    const topic = `servers-${process.pid}`
    await send(inject('kafkaBrokers'), topic, ['x'])
    expect(await read(inject('kafkaBrokers'), topic, 1)).toEqual(['x'])
  })

  test('a killed broker comes back on the same port with every acknowledged message', async () => {
    const kafka = await startKafka({ needs: 'process' }, local)
    const { pid } = kafka
    expect(await valuesAfterKill(kafka)).toEqual(['a', 'b'])
    expect(isRunning(pid)).toBe(false)
    await kafka.stop()
  })

  test('stop leaves no process and no directory; a topic is never made by itself', async () => {
    const kafka = await startKafka({ needs: 'process', settings: { 'log.retention.hours': '1' } }, local)
    const admin = clientOf(kafka.brokers).admin()
    await admin.connect()
    await expect(admin.fetchTopicMetadata({ topics: ['not-made'] })).rejects.toThrow(/does not host this topic/)
    const config = await admin.describeCluster()
    expect(config.brokers).toHaveLength(1)
    await admin.disconnect()
    const { pid } = kafka
    const directory = process.platform === 'linux' ? readlinkSync(`/proc/${pid}/cwd`) : '/nonexistent'
    expect(existsSync(directory)).toBe(process.platform === 'linux')
    await kafka.stop()
    expect(isRunning(pid)).toBe(false)
    expect(existsSync(directory)).toBe(false)
  })

  test('a property Kafka refuses is an error that quotes it', async () => {
    const start = startKafka({ needs: 'process', settings: { 'log.retention.hours': 'soon' } }, local)
    await expect(start).rejects.toThrow(/log\.retention\.hours/)
  })

  test.skipIf(!hasImage)('a container is killed, restarted and removed like a process', async () => {
    const kafka = await startKafka({}, docker)
    expect(kafka.source).toBe('docker')
    expect(await valuesAfterKill(kafka)).toEqual(['a', 'b'])
    await kafka.stop()
  })
})
