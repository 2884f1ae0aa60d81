import { createKafkaLog, silentLogger, TOPICS } from '@lockstep/runtime'
import { startKafka, type KafkaServer } from '@lockstep/servers'
import { redisKeys } from '@lockstep/schemas'
import { Redis } from 'ioredis'
import { afterEach, describe, expect, test } from 'vitest'
import { lockstep, type TestProcess } from '../process.ts'
import { compareLayers } from './agreement.ts'
import { pgbench } from './pgbench.ts'
import { EDGE_TOKEN, RULES_FILE, World } from './world.ts'

const CONTRACT_MS = 1_000
// The oracle has the time of the commit record; the contract runs from visibility, which a busy machine delays.
const COMMIT_TO_VISIBLE_MS = 100
const SETTLE_MS = 60_000
const REBOUND_MS = 1_000
const POISON_RECORDS = 3
/** A request, a raise and a flush are milliseconds; the connector answers a burst of requests at most once a second. */
const POISON_MS = 5_000

let world: World | undefined
let kafka: KafkaServer | undefined
const services: TestProcess[] = []
afterEach(async () => {
  for (const service of services.splice(0)) await service.stop('SIGKILL')
  await world?.stop()
  await kafka?.stop()
  world = undefined
  kafka = undefined
})

/** The pipeline as separate processes over a real broker, each under a supervisor. */
async function start(
  major: 15 | 18,
): Promise<{ made: World; broker: KafkaServer; byName: Record<string, TestProcess> }> {
  const made = await World.create({ major, scale: 10, namespace: 'pgbench', maxStalenessMs: CONTRACT_MS })
  world = made
  const broker = await startKafka({ needs: 'process' })
  kafka = broker
  await made.history.begin()
  const env = {
    LOCKSTEP_NAMESPACE: 'pgbench',
    LOCKSTEP_KAFKA_BROKERS: broker.brokers.join(','),
    LOCKSTEP_RULES_FILE: RULES_FILE,
    LOCKSTEP_REDIS_URL: made.redis.url,
    LOCKSTEP_CONNECTOR_DATABASE_URL: made.postgres.url,
    LOCKSTEP_MAX_STALENESS_MS: String(CONTRACT_MS),
    LOCKSTEP_REBOUND_MS: String(REBOUND_MS),
    LOCKSTEP_PURGER_TIERS: `varnish+${made.edge.url}`,
    LOCKSTEP_PURGER_VARNISH_TOKEN: EDGE_TOKEN,
  }
  const byName: Record<string, TestProcess> = {}
  for (const name of ['connector', 'invalidator', 'cdn-purger']) {
    const service = lockstep(name, ['--admin-port', '0'], env).supervise()
    services.push(service)
    byName[name] = service
    await service.says('started', 60_000)
  }
  for (const reader of made.readers) byName[reader.name] = reader.supervise()
  return { made, broker, byName }
}

/** Waits until every layer says what the database says, and returns the last comparison. */
async function untilInStep(made: World) {
  const fresh = await made.freshReader()
  try {
    const deadline = performance.now() + SETTLE_MS
    for (;;) {
      const agreement = await compareLayers(made, fresh)
      if (agreement.disagreements.length === 0 || performance.now() > deadline) return agreement
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
  } finally {
    await fresh.stop('SIGKILL')
  }
}

/** Age of what Redis has applied, by Redis' own clock: its time less the oldest echo of any partition. Infinite while unknown. */
async function freshnessAgeMs(redis: Redis): Promise<number> {
  try {
    const [w, time] = await Promise.all([redis.hgetall(redisKeys('pgbench').watermark), redis.time()])
    const echoes = Object.entries(w).flatMap(([field, value]) => (field.startsWith('r:') ? [Number(value)] : []))
    if (echoes.length < Number(w['n'] ?? Infinity)) return Infinity
    return (Number(time[0]) * 1e6 + Number(time[1]) - Math.min(...echoes)) / 1000
  } catch {
    return Infinity
  }
}

/** Waits until the layers are fresh again after a kill. Resolves with how long they were past the contract. */
async function untilFresh(redis: Redis, name: string): Promise<number> {
  const begin = performance.now()
  let freshSince = begin
  // Fresh for a whole second: right after a kill the age is still young.
  while (performance.now() - freshSince < 1_500) {
    if ((await freshnessAgeMs(redis)) > CONTRACT_MS) freshSince = performance.now()
    if (performance.now() - begin > SETTLE_MS)
      throw new Error(
        `not fresh again within ${SETTLE_MS} ms of kill -9 ${name}: ${await freshnessAgeMs(redis)} ${JSON.stringify(await redis.hgetall(redisKeys('pgbench').watermark))}\n${services.map(({ output }) => output.slice(-3000)).join('\n')}`,
      )
    await pause(20)
  }
  return Math.round(freshSince - begin)
}

/**
 * Writes a record that nobody can read into the log. Resolves with the time until a new generation covers what it may
 * have been and the layers are fresh again, ms.
 */
async function poison(broker: KafkaServer, redis: Redis): Promise<number> {
  const generation = async () => Number(await redis.hget(redisKeys('pgbench').watermark, 'g'))
  const [brokers, before] = [broker.brokers, await generation()]
  const log = createKafkaLog({ brokers, namespace: 'pgbench', clientId: 'poisoner', logger: silentLogger })
  const begin = performance.now()
  try {
    await log.produce(TOPICS.changes, [{ key: null, partition: 0, value: Buffer.from('no event at all') }])
    while ((await generation()) <= before || (await freshnessAgeMs(redis)) > CONTRACT_MS) {
      if (performance.now() - begin > SETTLE_MS) throw new Error('a poison record was never got over')
      await pause(5)
    }
    return Math.round(performance.now() - begin)
  } finally {
    await log.close()
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe('itest/pgbench/kafka', () => {
  test('on PostgreSQL 15 over a real broker no read misses a change past the contract, poison records in the log or not', async () => {
    const { made, broker } = await start(15)
    const writing = pgbench(made.postgres.url, ['-n', '-c', '8', '-T', '8'])
    const redis = new Redis(made.redis.url)
    await untilFresh(redis, 'nothing')
    const poisonedMs: number[] = []
    for (let record = 0; record < POISON_RECORDS; record++) poisonedMs.push(await poison(broker, redis))
    redis.disconnect()
    await writing
    const agreement = await untilInStep(made)
    const judgement = made.history.history.judge(made.reads(), CONTRACT_MS + COMMIT_TO_VISIBLE_MS)
    console.log(JSON.stringify({ major: 15, poisonedMs, judgement, agreement }))
    expect(Math.max(...poisonedMs)).toBeLessThan(POISON_MS)
    expect(agreement.disagreements).toEqual([])
    expect(judgement).toMatchObject({ violations: 0, fromNowhere: 0 })
    expect(judgement.checked).toBeGreaterThan(5_000)
  })

  test('on PostgreSQL 18 killing every process, one at a time, loses nothing and breaks no contract', async () => {
    const { made, broker, byName } = await start(18)
    const kills: readonly (readonly [name: string, kill: () => Promise<void> | void])[] = [
      ['connector', () => byName['connector']?.kill9()],
      ['invalidator', () => byName['invalidator']?.kill9()],
      ['cdn-purger', () => byName['cdn-purger']?.kill9()],
      ['reader-0', () => byName['reader-0']?.kill9()],
      ['redis', () => made.redis.kill9().then(() => made.redis.restart())],
      ['edge', () => made.edge.kill9().then(() => made.edge.restart())],
      ['kafka', () => broker.kill9().then(() => broker.restart())],
      ['postgres', () => made.postgres.kill9().then(() => made.postgres.restart())],
    ]
    let isWriting = true
    // A killed Postgres takes pgbench with it; the next one goes on.
    const writing = (async () => {
      while (isWriting) await pgbench(made.postgres.url, ['-n', '-c', '8', '-T', '5'], true)
    })()
    const redis = new Redis(made.redis.url, { maxRetriesPerRequest: 0, retryStrategy: () => 100 })
    redis.on('error', () => undefined)
    await pause(3_000)
    const recoveredMs: Record<string, number> = {}
    for (const [name, kill] of kills) {
      await kill()
      recoveredMs[name] = await untilFresh(redis, name)
    }
    redis.disconnect()
    isWriting = false
    await writing
    const agreement = await untilInStep(made)
    const judgement = made.history.history.judge(made.reads(), CONTRACT_MS + COMMIT_TO_VISIBLE_MS)
    const restarts = Object.fromEntries(Object.entries(byName).map(([name, { restarts: count }]) => [name, count]))
    console.log(JSON.stringify({ major: 18, recoveredMs, judgement, agreement, restarts }))
    expect(agreement.disagreements).toEqual([])
    expect(judgement).toMatchObject({ violations: 0, fromNowhere: 0 })
    expect(judgement.checked).toBeGreaterThan(20_000)
  })
})
