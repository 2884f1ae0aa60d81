import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { KafkaRun } from './kafka.ts'
import { pgbench } from './pgbench.ts'
import { burstUntilStale, judgeReads, untilInStep } from './storm.ts'

const WARM_UP_MS = 3_000

let run: KafkaRun | undefined
afterEach(async () => {
  await run?.stop()
  run = undefined
})

describe('itest/pgbench/kafka, long', () => {
  test('on PostgreSQL 18 killing every process, one at a time, loses nothing and breaks no contract', async () => {
    const made = await KafkaRun.start({ major: 18, scale: 10 })
    run = made
    const { world, processes, broker } = made
    const kills: readonly (readonly [name: string, kill: () => Promise<void> | void])[] = [
      ['connector', () => processes['connector']?.kill9()],
      ['invalidator', () => processes['invalidator']?.kill9()],
      ['cdn-purger', () => processes['cdn-purger']?.kill9()],
      ['reader-0', () => processes['reader-0']?.kill9()],
      ['redis', () => world.redis.kill9().then(() => world.redis.restart())],
      ['edge', () => world.edge.kill9().then(() => world.edge.restart())],
      ['kafka', () => broker.kill9().then(() => broker.restart())],
      ['postgres', () => world.postgres.kill9().then(() => world.postgres.restart())],
    ]
    let isWriting = true
    // A killed Postgres takes pgbench with it; the next one goes on.
    const writing = (async () => {
      while (isWriting) await pgbench(world.postgres.url, ['-n', '-c', '8', '-T', '5'], true)
    })()
    await pause(WARM_UP_MS)
    const recoveredMs: Record<string, number> = {}
    for (const [name, kill] of kills) {
      await kill()
      recoveredMs[name] = await made.untilFresh(name)
    }
    isWriting = false
    await writing
    const agreement = await untilInStep(world)
    const judgement = await judgeReads(world)
    const restarts = Object.fromEntries(Object.entries(processes).map(([name, { restarts: count }]) => [name, count]))
    console.log(JSON.stringify({ major: 18, recoveredMs, judgement, agreement, restarts }))
    expect(agreement.disagreements).toEqual([])
    expect(judgement).toMatchObject({ violations: 0, fromNowhere: 0 })
    expect(judgement.atRisk).toBeGreaterThan(5_000)
  })

  test.each([
    ['without the visibility gate', 15, { noGate: true }],
    ['with fences ignored', 18, { unsafe: { ignoreFences: true } }],
  ] as const)('%s reads miss changes past the contract, on PostgreSQL %i', async (_what, major, off) => {
    run = await KafkaRun.start({ major, ...off })
    const judgement = await burstUntilStale(run.world)
    console.log(JSON.stringify({ major, ...off, judgement }))
    expect(judgement.violations).toBeGreaterThan(0)
  })
})
