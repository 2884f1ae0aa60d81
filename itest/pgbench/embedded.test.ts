import { afterEach, describe, expect, test } from 'vitest'
import { EmbeddedRun } from './embedded.ts'
import { burst, burstUntilStale, judgeReads, untilInStep, write } from './storm.ts'

const SECONDS = 8
const BURSTS = 2

let run: EmbeddedRun | undefined
afterEach(async () => {
  await run?.stop()
  run = undefined
})

describe('itest/pgbench/embedded', () => {
  test('on PostgreSQL 18 no read misses a change past the contract, and every layer ends in step', async () => {
    run = await EmbeddedRun.start({ major: 18 })
    const transactions = await write(run.world, SECONDS)
    for (let count = 0; count < BURSTS; count++) await burst(run.world)
    const agreement = await untilInStep(run.world)
    const judgement = await judgeReads(run.world)
    console.log(JSON.stringify({ major: 18, seconds: SECONDS, transactions, judgement, agreement }))
    expect(await run.dev.stop()).toBe(0)
    expect(agreement.disagreements).toEqual([])
    expect(judgement).toMatchObject({ violations: 0, fromNowhere: 0 })
    // A check of nothing proves nothing.
    expect(judgement.atRisk).toBeGreaterThan(SECONDS * 500)
    expect(transactions).toBeGreaterThan(SECONDS * 100)
  })

  test('without the visibility gate reads miss changes past the contract', async () => {
    run = await EmbeddedRun.start({}, ['--unsafe-no-gate'])
    expect((await burstUntilStale(run.world)).violations).toBeGreaterThan(0)
  })

  test('with fences ignored reads miss changes past the contract', async () => {
    run = await EmbeddedRun.start({ unsafe: { ignoreFences: true } })
    expect((await burstUntilStale(run.world)).violations).toBeGreaterThan(0)
  })
})
