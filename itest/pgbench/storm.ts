import { setTimeout as pause } from 'node:timers/promises'
import { compareLayers, type Agreement } from './agreement.ts'
import type { Judgement } from './history.ts'
import { pgbench } from './pgbench.ts'
import type { World } from './world.ts'

export const CONTRACT_MS = 1_000
// The oracle has the time of the commit record; the contract runs from visibility, which a busy machine delays.
const COMMIT_TO_VISIBLE_MS = 100
const SETTLE_MS = 60_000
// While a synchronous standby is missing, commits are in the log and not yet visible. Shorter than the contract, because the
// oracle counts from the commit's record.
const STANDBY_AWAY_MS = 500
const MOST_BURSTS = 8

/** Lets pgbench write; resolves with the number of transactions. Without `rate` there are as many as the machine can. */
export async function write(world: World, seconds: number, rate?: number): Promise<number> {
  const limit = rate === undefined ? [] : ['-R', String(rate)]
  const output = await pgbench(world.postgres.url, ['-n', '-c', '8', '-T', String(seconds), ...limit])
  return Number(/transactions actually processed: (\d+)/.exec(output)?.[1] ?? 0)
}

/**
 * Writes for a second in which commits hang for a while, then keeps still for longer than the contract: what the last
 * writes left wrong stays wrong, for nothing overwrites it.
 */
export async function burst(world: World): Promise<void> {
  const writing = write(world, 1)
  await pause(400)
  await world.missStandby(STANDBY_AWAY_MS)
  await writing
  await pause(CONTRACT_MS * 1.7)
}

/** Holds every read so far against what was committed so far. */
export async function judgeReads(world: World): Promise<Judgement> {
  await world.history.drain()
  return world.history.history.judge(world.reads(), CONTRACT_MS + COMMIT_TO_VISIBLE_MS)
}

/** Bursts until a read is past the contract, which a guard that is off soon brings about. */
export async function burstUntilStale(world: World): Promise<Judgement> {
  for (let count = 1; ; count++) {
    await burst(world)
    const judgement = await judgeReads(world)
    if (judgement.violations > 0 || count === MOST_BURSTS) return judgement
  }
}

/** Waits until every layer says what the database says; resolves with the last comparison. */
export async function untilInStep(world: World): Promise<Agreement> {
  const fresh = await world.freshReader()
  try {
    const deadline = performance.now() + SETTLE_MS
    for (;;) {
      const agreement = await compareLayers(world, fresh)
      if (agreement.disagreements.length === 0 || performance.now() > deadline) return agreement
      await pause(500)
    }
  } finally {
    await fresh.stop('SIGKILL')
  }
}
