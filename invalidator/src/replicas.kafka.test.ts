import { randomUUID } from 'node:crypto'
import { createKafkaLog, ensureTopics, noMetrics, silentLogger } from '@lockstep/runtime'
import type { EventLog, LogRecord } from '@lockstep/runtime'
import { waitFor } from '@lockstep/runtime/testing'
import { encodeEvent, redisKeys } from '@lockstep/schemas'
import type { LogEvent } from '@lockstep/schemas'
import { startRedis } from '@lockstep/servers'
import { Redis } from 'ioredis'
import { afterAll, expect, inject, test } from 'vitest'
import { startInvalidator } from './compose.ts'
import type { InvalidatorConfig } from './config.ts'
import { RULES, flush, productChange, stampAt } from './testing/rig.ts'

declare module 'vitest' {
  interface ProvidedContext {
    kafkaBrokers: string[]
  }
}

const PARTITIONS = 4
const CHANGES = 4_000

const server = await startRedis()
const brokers = inject('kafkaBrokers')
const namespace = `inv-${randomUUID().slice(0, 8)}`
const connection = { brokers, namespace, clientId: 'invalidator-test' }
const redis = new Redis(server.url)
const log: EventLog = createKafkaLog(connection)
afterAll(async () => {
  await log.close()
  redis.disconnect()
  await server.stop()
})

const config: InvalidatorConfig = {
  namespace,
  redisUrl: server.url,
  kafkaBrokers: brokers,
  rulesFile: '',
  echoMs: 50,
  shortFenceMs: 30_000,
  redisTimeoutMs: 1_000,
  adminHost: '127.0.0.1',
  adminPort: 0,
  logLevel: 'error',
}
const start = () => startInvalidator(config, { logger: silentLogger, metrics: noMetrics, rules: RULES })
const record = (event: LogEvent, partition: number): LogRecord => ({ key: null, partition, value: encodeEvent(event) })

test('replicas on Kafka share the partitions, and one that joins and one that leaves lose no fence', async () => {
  await ensureTopics(connection, { changes: PARTITIONS, purges: 1, control: 1, 'dead-letters': 1 })
  const begin = flush(1, { partitions: PARTITIONS })
  await log.produce(
    'changes',
    Array.from({ length: PARTITIONS }, (_, partition) => record(begin, partition)),
  )
  const first = await start()
  const keys = redisKeys(namespace)
  await waitFor(async () => (await redis.hexists(keys.watermark, 'p:0')) === 1, 30_000)
  const joining = start()
  for (let id = 0; id < CHANGES; id += 100) {
    const ids = Array.from({ length: 100 }, (_, i) => id + i)
    await log.produce(
      'changes',
      ids.map((n) => record(productChange(n, stampAt(1, 5 + n)), n % PARTITIONS)),
    )
    if (id === CHANGES / 2) await first.stop()
  }
  const second = await joining
  const stands = () => redis.hmget(keys.watermark, 'p:0', 'p:1', 'p:2', 'p:3')
  await waitFor(async () => (await stands()).every((at) => at === String(1 + CHANGES / PARTITIONS)), 45_000)
  const fences = await redis.mget(Array.from({ length: CHANGES }, (_, id) => keys.fence(`product:${id}`)))
  expect(fences.every((fence, id) => fence?.startsWith(stampAt(1, 5 + id)))).toBe(true)
  await second.stop()
}, 100_000)
