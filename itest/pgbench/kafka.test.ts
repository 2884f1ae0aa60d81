import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { KafkaRun } from './kafka.ts'
import { judgeReads, untilInStep, write } from './storm.ts'

const SECONDS = 10
// What two cores carry beside a broker, the pipeline and the readers; where pgbench takes all of them nobody reads.
const RATE = 300
const WARM_UP_MS = 1_500
const POISON_RECORDS = 2
/** A request, a raise and a flush are milliseconds; the connector answers a burst of requests at most once a second. */
const POISON_MS = 5_000

let run: KafkaRun | undefined
afterEach(async () => {
  await run?.stop()
  run = undefined
})

/** What must hold at the end of every run; answers the figures. */
async function inOrder({ world }: KafkaRun) {
  const agreement = await untilInStep(world)
  const judgement = await judgeReads(world)
  expect(agreement.disagreements).toEqual([])
  expect(judgement).toMatchObject({ violations: 0, fromNowhere: 0 })
  // Read out of a cache while rows changed: only those could have been stale.
  expect(judgement.atRisk).toBeGreaterThan(SECONDS * 200)
  return { judgement, agreement }
}

describe('itest/pgbench/kafka', () => {
  test('on PostgreSQL 15 over a real broker no read misses a change past the contract, poison records in the log or not', async () => {
    run = await KafkaRun.start({ major: 15 })
    const writing = write(run.world, SECONDS, RATE)
    const poisonedMs: number[] = []
    for (let record = 0; record < POISON_RECORDS; record++) {
      await pause(WARM_UP_MS)
      poisonedMs.push(await run.poison())
    }
    const transactions = await writing
    console.log(JSON.stringify({ major: 15, transactions, poisonedMs, ...(await inOrder(run)) }))
    expect(Math.max(...poisonedMs)).toBeLessThan(POISON_MS)
  })

  test('nor on PostgreSQL 18, while connector, Redis and a reader are killed', async () => {
    run = await KafkaRun.start({ major: 18 })
    const { world, processes } = run
    const writing = write(world, SECONDS, RATE)
    await pause(WARM_UP_MS)
    processes['connector']?.kill9()
    processes['reader-0']?.kill9()
    const connectorMs = await run.untilFresh('connector')
    await world.redis.kill9()
    await world.redis.restart()
    const redisMs = await run.untilFresh('redis')
    const transactions = await writing
    console.log(JSON.stringify({ major: 18, transactions, connectorMs, redisMs, ...(await inOrder(run)) }))
    expect(processes['connector']?.restarts).toBe(1)
  })
})
