import { createMemoryLog, noMetrics, silentLogger, systemTime, TOPICS } from '@lockstep/runtime'
import { waitFor } from '@lockstep/runtime/testing'
import { createPurgerMetrics } from '../metrics.ts'
import type { EdgeProvider, ProcessAcks } from '../ports.ts'
import { createPurger } from '../purger.ts'
import type { Purger, PurgerOptions } from '../purger.ts'
import { commandRecord } from './commands.ts'

/** A purger on real clocks over a log of its own. */
export interface RealPurger {
  readonly purger: Purger
  /** Sends one command and waits until its live purge is acknowledged by the last tier. */
  purge(tag: string, busId?: string): Promise<void>
  /** Waits until every rebound is done. */
  idle(): Promise<void>
}

/** Starts a purger for tests against real edges. */
export async function startRealPurger(
  tiers: readonly (readonly EdgeProvider[])[],
  { acks = null, ...options }: { reboundMs: number; unsafe?: PurgerOptions['unsafe']; acks?: ProcessAcks | null },
): Promise<RealPurger> {
  const log = createMemoryLog()
  const purger = createPurger({
    log,
    tiers,
    acks,
    time: systemTime,
    random: Math.random,
    logger: silentLogger,
    metrics: createPurgerMetrics(noMetrics, systemTime),
    options: { group: 'g', maxStalenessMs: 5_000, barrierPollMs: 3, maxBacklogKeys: 1_000, drainMs: 0, ...options },
  })
  await purger.start()
  let sent = 0
  return {
    purger,
    purge: async (tag, busId = '') => {
      sent += 1
      await log.produce(TOPICS.purges, [commandRecord({ tag, clock: sent, busId })])
      await waitFor(() => purger.status().commitToEdge.count >= sent, 5_000)
    },
    idle: async () => waitFor(() => purger.status().rebounds + purger.status().backlog === 0, 10_000),
  }
}

/** Runs `before` ahead of every purge of a provider: what happens between two tiers. */
export function withReadBefore(inner: EdgeProvider, before: () => Promise<unknown>): EdgeProvider {
  return {
    name: inner.name,
    limits: inner.limits,
    purge: async (keys, signal) => {
      await before()
      return await inner.purge(keys, signal)
    },
    purgeAll: async (signal) => inner.purgeAll(signal),
    close: async () => inner.close(),
  }
}
