import {
  createHttpProvider,
  createPurger,
  createPurgerMetrics,
  createRedisBudget,
  PROFILES,
  withMargin,
} from '@lockstep/cdn-purger'
import type { Purger, RateLimit } from '@lockstep/cdn-purger'
import { startEmulator } from '@lockstep/cdn-purger/testing'
import { createMemoryLog, noMetrics, silentLogger, systemTime, TOPICS } from '@lockstep/runtime'
import type { EventLog } from '@lockstep/runtime'
import { startRedis } from '@lockstep/servers'
import { Redis } from 'ioredis'
import { purgeRecord } from './drain.ts'

/** How much of what a provider allows was used. */
export interface RateShare {
  /** Of the tokens that came in while the buckets were empty. */
  readonly share: number
  readonly throttled: number
}

interface Plan {
  readonly kind: 'fastly' | 'cloudflare'
  readonly rate: RateLimit
}

/** The plans that the targets name. */
export const PLANS: Readonly<Record<Plan['kind'], Plan>> = {
  fastly: { kind: 'fastly', rate: { unit: 'keys', perSecond: 100_000 / 3_600, burst: 2_560 } },
  cloudflare: { kind: 'cloudflare', rate: { unit: 'requests', perSecond: 50, burst: 500 } },
}

const CREDENTIALS = { token: 'bench' }
const PURGERS = 2
const CHUNK = 10_000

/** Has two purgers that share their buckets work off a backlog, and compares `seconds` of it with what the plan allows. */
export async function measureRate({ kind, rate }: Plan, seconds: number): Promise<RateShare> {
  const redis = await startRedis()
  const forward = async () => Promise.resolve()
  const emulator = await startEmulator({ kind, credentials: CREDENTIALS, rates: [rate], forward })
  const endpoint = { url: new URL(emulator.url), credentials: CREDENTIALS, isSoft: false }
  const limits = { ...PROFILES[kind].limits, rates: [rate] }
  const wallMs = () => systemTime.wallMs()
  const logs: EventLog[] = []
  const purgers: Purger[] = []
  // Twice what can be taken, each purger half of it.
  const tokens = (rate.burst + rate.perSecond * seconds) * 2
  const keys = Math.ceil((rate.unit === 'keys' ? tokens : tokens * limits.maxKeys) / PURGERS)
  try {
    for (let index = 0; index < PURGERS; index++) {
      const log = createMemoryLog({ maxBacklog: keys + 1 })
      logs.push(log)
      for (let from = 0; from < keys; from += CHUNK) {
        const count = Math.min(CHUNK, keys - from)
        const record = (_: unknown, at: number) => purgeRecord(`p${index}:${from + at}`, from + at + 1)
        await log.produce(TOPICS.purges, Array.from({ length: count }, record))
      }
      const purger = createPurger({
        log,
        tiers: [
          [createHttpProvider({ name: kind, profile: PROFILES[kind], endpoint, limits, timeoutMs: 5_000, wallMs })],
        ],
        acks: null,
        budgetOf: () =>
          createRedisBudget({
            redis: new Redis(redis.url),
            key: `budget:${kind}`,
            limits: withMargin([rate]),
            nowMs: () => systemTime.nowMs(),
            onAway: (error) => {
              throw error
            },
          }),
        time: systemTime,
        random: Math.random,
        logger: silentLogger,
        metrics: createPurgerMetrics(noMetrics, systemTime),
        options: {
          group: 'bench',
          maxStalenessMs: 5_000,
          reboundMs: 60_000,
          barrierPollMs: 3,
          maxBacklogKeys: 1_000_000,
          drainMs: 0,
        },
      })
      await purger.start()
      purgers.push(purger)
    }
    const takenOf = () => (rate.unit === 'keys' ? emulator.counts().keys : emulator.counts().accepted)
    // Steady state begins when the burst is used up; of it a tenth stays unused.
    while (takenOf() < rate.burst * 0.92) await systemTime.sleep(20)
    const [before, startedMs] = [takenOf(), systemTime.nowMs()]
    await systemTime.sleep(seconds * 1_000)
    const elapsed = (systemTime.nowMs() - startedMs) / 1_000
    return { share: (takenOf() - before) / (rate.perSecond * elapsed), throttled: emulator.counts().throttled }
  } finally {
    for (const purger of purgers) await purger.stop()
    for (const log of logs) await log.close()
    await emulator.stop()
    await redis.stop()
  }
}
