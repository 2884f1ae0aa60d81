import { randomUUID } from 'node:crypto'
import { startKafka, type KafkaServer } from '@lockstep/servers'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import { dispositionOf } from '../errors.ts'
import type { EventLog, LogBatch } from '../event-log.ts'
import { waitFor } from '../testing/wait-for.ts'
import { createKafkaLog, ensureTopics, type KafkaConnection } from './kafka.ts'

const DEADLINE_MS = 30_000
const values = (from: number, count: number) =>
  Array.from({ length: count }, (_, index) => ({
    key: `k${(from + index) % 16}`,
    value: Buffer.from(String(from + index)),
  }))

async function openLog(brokers: readonly string[], partitions: number) {
  const connection: KafkaConnection = { brokers, namespace: `t${randomUUID()}`, clientId: 'faults' }
  await ensureTopics(connection, { t: partitions })
  const open = (): EventLog => {
    const log = createKafkaLog(connection)
    onTestFinished(() => log.close())
    return log
  }
  return { connection, open, log: open(), topic: `${connection.namespace}.t` }
}

/** Sends until the log says that it holds the records, as the services do. */
async function produceSurely(log: EventLog, from: number, count: number): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  for (;;) {
    try {
      await log.produce('t', values(from, count))
      return
    } catch (error) {
      if (dispositionOf(error) !== 'transient' || performance.now() > deadline) throw error
    }
  }
}

const numbersOf = (batches: readonly LogBatch[]): number[] =>
  batches.flatMap((batch) => batch.records.map((record) => Number(record.value.toString())))

describe('a broker that is killed', () => {
  let server: KafkaServer
  beforeAll(async () => {
    server = await startKafka({ needs: 'process' })
  })
  afterAll(() => server.stop())

  test('loses no acknowledged record, and each key keeps its order after re-sends', { timeout: 120_000 }, async () => {
    const { log } = await openLog(server.brokers, 2)
    const batches: LogBatch[] = []
    const readByAll = new Set<number>()
    await log.consume({ topic: 't', group: 'g' }, (batch) => {
      batches.push(batch)
      batch.commit()
      return Promise.resolve()
    })
    await log.consume({ topic: 't', group: null }, (batch) => {
      for (const number of numbersOf([batch])) readByAll.add(number)
      return Promise.resolve()
    })
    const rounds = 300
    let failures = 0
    let broken: Promise<void> | undefined
    for (let round = 0; round < rounds; round++) {
      if (round === 100) {
        broken = (async () => {
          await server.kill9()
          await waitFor(() => failures > 0, DEADLINE_MS)
          await server.restart()
        })()
      }
      await log.produce('t', values(round * 10, 10)).catch(async () => {
        failures += 1
        await produceSurely(log, round * 10, 10)
      })
    }
    await broken
    await waitFor(() => new Set(numbersOf(batches)).size === rounds * 10, DEADLINE_MS)
    await waitFor(() => readByAll.size === rounds * 10, DEADLINE_MS)
    const newestOf = new Map<number, number>()
    const firstSeen = new Set<number>()
    for (const number of numbersOf(batches)) {
      if (firstSeen.has(number)) continue
      firstSeen.add(number)
      expect(number).toBeGreaterThan(newestOf.get(number % 16) ?? -1)
      newestOf.set(number % 16, number)
    }
    expect(failures).toBeGreaterThan(0)
  })

  test(
    'rejects queued calls together, so that callers send again in their own order',
    { timeout: 60_000 },
    async () => {
      const { log } = await openLog(server.brokers, 1)
      await log.produce('t', values(0, 1))
      await server.kill9()
      const settled: string[] = []
      const send = (number: number) =>
        log.produce('t', values(number, 1)).then(
          () => settled.push('resolved'),
          () => settled.push('rejected'),
        )
      const inFlight = send(1)
      await new Promise((resolve) => setImmediate(resolve))
      for (let number = 2; number <= 20; number++) void send(number)
      await inFlight
      await new Promise((resolve) => setImmediate(resolve))
      expect(settled).toEqual(Array.from({ length: 20 }, () => 'rejected'))
      await server.restart()
      await produceSurely(log, 1, 20)
      const batches: LogBatch[] = []
      await log.consume({ topic: 't', group: 'g' }, (batch) => Promise.resolve(void batches.push(batch)))
      await waitFor(() => numbersOf(batches).includes(20), DEADLINE_MS)
      expect([...new Set(numbersOf(batches))]).toEqual(Array.from({ length: 21 }, (_, index) => index))
    },
  )
})

describe('records that the log lost', () => {
  async function deleteRecords(topic: string, before: number): Promise<void> {
    const admin = new Kafka({ brokers: inject('kafkaBrokers'), logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    // Loads the topic's metadata, which kafkajs does not do by itself here.
    await admin.fetchTopicOffsets(topic)
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: String(before) }] })
    await admin.disconnect()
  }

  test('show in firstOffset when retention overtook the group', async () => {
    const { log, topic } = await openLog(inject('kafkaBrokers'), 1)
    await log.produce('t', values(0, 5))
    const before: LogBatch[] = []
    const first = await log.consume({ topic: 't', group: 'g' }, (batch) => {
      before.push(batch)
      batch.commit()
      return Promise.resolve()
    })
    await waitFor(() => numbersOf(before).length === 5, DEADLINE_MS)
    await first.stop()
    await log.produce('t', values(5, 20))
    await deleteRecords(topic, 15)
    const after: LogBatch[] = []
    await log.consume({ topic: 't', group: 'g' }, (batch) => Promise.resolve(void after.push(batch)))
    await waitFor(() => after.length > 0, DEADLINE_MS)
    expect(after[0]?.firstOffset).toBe(5n)
    expect(after[0]?.records[0]?.offset).toBe(15n)
  })

  test('show in firstOffset when a rewind asks for them', async () => {
    const { log, topic } = await openLog(inject('kafkaBrokers'), 1)
    await log.produce('t', values(0, 10))
    const batches: LogBatch[] = []
    await log.consume({ topic: 't', group: 'g' }, (batch) => Promise.resolve(void batches.push(batch)))
    await waitFor(() => numbersOf(batches).length === 10, DEADLINE_MS)
    await deleteRecords(topic, 8)
    const seen = batches.length
    batches[0]?.rewind(3n)
    await waitFor(() => batches.length > seen, DEADLINE_MS)
    expect(batches[seen]?.firstOffset).toBe(3n)
    expect(batches[seen]?.records[0]?.offset).toBe(8n)
  })

  test('a group without a position begins at the oldest kept record without showing a jump', async () => {
    const { log, topic } = await openLog(inject('kafkaBrokers'), 1)
    await log.produce('t', values(0, 10))
    await deleteRecords(topic, 4)
    const batches: LogBatch[] = []
    await log.consume({ topic: 't', group: 'new' }, (batch) => Promise.resolve(void batches.push(batch)))
    await waitFor(() => batches.length > 0, DEADLINE_MS)
    expect(batches[0]?.firstOffset).toBe(4n)
  })
})

describe('a group on Kafka', () => {
  test('loses nothing while members come and go', { timeout: 90_000 }, async () => {
    const { log, open } = await openLog(inject('kafkaBrokers'), 4)
    const seen = new Set<number>()
    const onBatch = (batch: LogBatch) => {
      for (const number of numbersOf([batch])) seen.add(number)
      batch.commit()
      return Promise.resolve()
    }
    await log.consume({ topic: 't', group: 'g' }, onBatch)
    let sent = 0
    const send = async (rounds: number) => {
      for (let round = 0; round < rounds; round++, sent += 40) await log.produce('t', values(sent, 40))
    }
    for (let cycle = 0; cycle < 3; cycle++) {
      const [second] = await Promise.all([open().consume({ topic: 't', group: 'g' }, onBatch), send(50)])
      await send(50)
      await Promise.all([second.stop(), send(50)])
    }
    await waitFor(() => seen.size === sent, DEADLINE_MS)
    expect(sent).toBe(18_000)
  })

  test('a partition count that differs is a config error that names both counts', async () => {
    const { connection } = await openLog(inject('kafkaBrokers'), 2)
    const refused = ensureTopics(connection, { t: 3, other: 1 })
    await expect(refused).rejects.toMatchObject({ code: 'LOCKSTEP_LOG_TOPIC', disposition: 'config' })
    await expect(ensureTopics(connection, { t: 3 })).rejects.toThrow('t has 2 partitions, required are 3')
    await ensureTopics(connection, { t: 2, other: 1 })
  })

  test('a missing topic is a config error for consumers and producers, and is not created', async () => {
    const { log } = await openLog(inject('kafkaBrokers'), 1)
    const expected = { code: 'LOCKSTEP_LOG_TOPIC', disposition: 'config' }
    await expect(log.consume({ topic: 'absent', group: 'g' }, () => Promise.resolve())).rejects.toMatchObject(expected)
    await expect(log.produce('absent', values(0, 1))).rejects.toMatchObject(expected)
    await expect(log.partitionCount('absent')).rejects.toMatchObject(expected)
  })

  test('an oversized record is refused as poison, and a call larger than one request is split', async () => {
    const { log } = await openLog(inject('kafkaBrokers'), 1)
    const big = { key: 'k', value: Buffer.alloc(1_000_000) }
    await expect(log.produce('t', [big])).rejects.toMatchObject({ code: 'LOCKSTEP_LOG_RECORD', disposition: 'poison' })
    await log.produce('t', values(0, 12_000))
    await log.produce(
      't',
      Array.from({ length: 5 }, () => ({ key: 'k', value: Buffer.alloc(500_000) })),
    )
    let count = 0
    await log.consume({ topic: 't', group: 'g' }, (batch) => Promise.resolve(void (count += batch.records.length)))
    await waitFor(() => count === 12_005, DEADLINE_MS)
    expect(count).toBe(12_005)
  })
})
