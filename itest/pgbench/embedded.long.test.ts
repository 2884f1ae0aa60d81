import { afterEach, describe, expect, test } from 'vitest'
import { EmbeddedRun } from './embedded.ts'
import { burst, judgeReads, untilInStep, write } from './storm.ts'

const BURSTS = 4

let run: EmbeddedRun | undefined
afterEach(async () => {
  await run?.stop()
  run = undefined
})

describe('itest/pgbench/embedded, long', () => {
  // A million accounts and half a minute: the figures of the README.
  test.each([
    [18, 30],
    [15, 8],
  ] as const)(
    'on PostgreSQL %i no read misses a change past the contract, and every layer ends in step',
    async (major, seconds) => {
      run = await EmbeddedRun.start({ major, scale: 10 })
      const transactions = await write(run.world, seconds)
      for (let count = 0; count < BURSTS; count++) await burst(run.world)
      const agreement = await untilInStep(run.world)
      const judgement = await judgeReads(run.world)
      console.log(JSON.stringify({ major, seconds, transactions, judgement, agreement }))
      expect(agreement.disagreements).toEqual([])
      expect(judgement).toMatchObject({ violations: 0, fromNowhere: 0 })
      expect(judgement.atRisk).toBeGreaterThan(seconds * 500)
      expect(transactions).toBeGreaterThan(seconds * 100)
    },
  )
})
