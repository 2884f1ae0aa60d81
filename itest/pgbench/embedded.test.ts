import { afterEach, describe, expect, test } from 'vitest'
import { lockstep } from '../process.ts'
import { compareLayers, type Agreement } from './agreement.ts'
import type { Judgement } from './history.ts'
import { pgbench } from './pgbench.ts'
import { EDGE_TOKEN, RULES_FILE, World, type WorldOptions } from './world.ts'

const CONTRACT_MS = 1_000
// The oracle has the time of the commit record; the contract runs from visibility, which a busy machine delays.
const COMMIT_TO_VISIBLE_MS = 100
// Long enough for the pipeline to drain and for the second purge.
const SETTLE_MS = 2_500
// What the last writes of a burst left wrong stays wrong for longer than the contract: nothing overwrites it.
const BURSTS = 4
// While a synchronous standby is missing, commits are in the log and not yet visible. Shorter than the contract, because the
// oracle counts from the commit's record.
const STANDBY_AWAY_MS = 500

interface Run {
  readonly judgement: Judgement
  readonly transactions: string
  readonly agreement: Agreement
  /** Of `lockstep dev`, after SIGTERM. */
  readonly exitCode: number | null
}

let world: World | undefined
afterEach(async () => {
  await world?.stop()
  world = undefined
})

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** The README's recipe: `pgbench -i`, `lockstep dev`, two processes reading through the cache, `pgbench` writing. */
async function run(options: Partial<WorldOptions>, seconds: number, devArgs: readonly string[] = []): Promise<Run> {
  const made = await World.create({
    major: 18,
    scale: 10,
    namespace: 'pgbench',
    maxStalenessMs: CONTRACT_MS,
    ...options,
  })
  world = made
  await made.history.begin()
  const flags = {
    '--database-url': made.postgres.url,
    '--rules': RULES_FILE,
    '--redis-url': made.redis.url,
    '--namespace': made.options.namespace,
    '--tiers': `varnish+${made.edge.url}`,
    '--edge-token': EDGE_TOKEN,
    '--max-staleness-ms': String(CONTRACT_MS),
    '--rebound-ms': '1000',
    '--admin-port': '0',
  }
  const dev = lockstep('dev', [...Object.entries(flags).flat(), ...devArgs]).start()
  try {
    await dev.says('In step with')
    for (const reader of made.readers) reader.start()
    const output = await pgbench(made.postgres.url, ['-n', '-c', '8', '-T', String(seconds)])
    for (let burst = 0; burst < BURSTS; burst++) {
      await pause(CONTRACT_MS * 1.7)
      const writing = pgbench(made.postgres.url, ['-n', '-c', '8', '-T', '1'])
      await pause(400)
      await made.missStandby(STANDBY_AWAY_MS)
      await writing
    }
    await pause(SETTLE_MS)
    const fresh = await made.freshReader()
    const agreement = await compareLayers(made, fresh).catch(async (error: unknown) => {
      await fresh.stop('SIGKILL')
      throw error
    })
    await fresh.stop('SIGKILL')
    const judgement = made.history.history.judge(made.reads(), CONTRACT_MS + COMMIT_TO_VISIBLE_MS)
    const transactions = /transactions actually processed: (\d+)/.exec(output)?.[1] ?? '0'
    console.log(JSON.stringify({ ...options, seconds, transactions, judgement, agreement }))
    return { judgement, transactions, agreement, exitCode: await dev.stop() }
  } finally {
    await dev.stop('SIGKILL')
  }
}

describe('itest/pgbench/embedded', () => {
  test.each([
    [18, 30],
    [15, 8],
  ] as const)(
    'on PostgreSQL %i no read misses a change past the contract, and every layer ends in step',
    async (major, seconds) => {
      const { judgement, transactions, agreement, exitCode } = await run({ major }, seconds)
      expect(agreement.disagreements).toEqual([])
      expect(exitCode).toBe(0)
      expect(judgement).toMatchObject({ violations: 0, fromNowhere: 0 })
      // A check of nothing proves nothing.
      expect(judgement.checked).toBeGreaterThan(seconds * 500)
      expect(Number(transactions)).toBeGreaterThan(seconds * 100)
    },
  )

  test('without the visibility gate reads miss changes past the contract', async () => {
    const { judgement } = await run({}, 3, ['--unsafe-no-gate'])
    expect(judgement.violations).toBeGreaterThan(0)
  })

  test('with fences ignored reads miss changes past the contract', async () => {
    const { judgement } = await run({ unsafe: { ignoreFences: true } }, 3)
    expect(judgement.violations).toBeGreaterThan(0)
  })
})
