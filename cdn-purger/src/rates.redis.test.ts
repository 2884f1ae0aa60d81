import { randomUUID } from 'node:crypto'
import { createMemoryLog, noMetrics, silentLogger, systemTime, TOPICS } from '@lockstep/runtime'
import { Redis } from 'ioredis'
import { describe, expect, inject, test } from 'vitest'
import { createRedisBudget } from './adapters/redis-budget.ts'
import { withMargin } from './local-budget.ts'
import { createPurgerMetrics } from './metrics.ts'
import type { RateLimit } from './ports.ts'
import { createPurger } from './purger.ts'
import { commandRecord } from './testing/commands.ts'
import { startEmulator } from './testing/emulator/emulator.ts'
import { testProvider } from './testing/providers.ts'

const url = inject('redisUrl')
const CREDENTIALS = { token: 'right' }
// `npm run bench -- purger` does the same for a minute, with the documented bursts.
const SECONDS = 4
const KEYS = 40_000

/** Two purgers work off a backlog at one provider; what is allowed comes in at `rate`. */
async function share(kind: 'fastly' | 'cloudflare', rate: RateLimit, isShared: boolean) {
  const emulator = await startEmulator({
    kind,
    credentials: CREDENTIALS,
    rates: [rate],
    forward: async () => Promise.resolve(),
  })
  const key = `budget-${randomUUID()}`
  const purgers = await Promise.all(
    ['one', 'two'].map(async (name) => {
      const log = createMemoryLog()
      const record = (_: unknown, index: number) => commandRecord({ tag: `${name}:${index}` })
      await log.produce(TOPICS.purges, Array.from({ length: KEYS }, record))
      const provider = testProvider(kind, { url: emulator.url, credentials: CREDENTIALS, limits: { rates: [rate] } })
      const budgetOf = () =>
        createRedisBudget({
          redis: new Redis(url),
          key: isShared ? key : key + name,
          limits: withMargin([rate]),
          nowMs: () => systemTime.nowMs(),
          onAway: (error) => {
            throw error
          },
        })
      const purger = createPurger({
        log,
        tiers: [[provider]],
        acks: null,
        budgetOf,
        time: systemTime,
        random: Math.random,
        logger: silentLogger,
        metrics: createPurgerMetrics(noMetrics, systemTime),
        options: {
          group: 'g',
          maxStalenessMs: 5_000,
          reboundMs: 60_000,
          barrierPollMs: 3,
          maxBacklogKeys: 100_000,
          drainMs: 0,
        },
      })
      await purger.start()
      return purger
    }),
  )
  const taken = () => (rate.unit === 'keys' ? emulator.counts().keys : emulator.counts().accepted)
  while (taken() < rate.burst * 0.92) await systemTime.sleep(5)
  const [before, startedMs] = [taken(), systemTime.nowMs()]
  await systemTime.sleep(SECONDS * 1_000)
  const allowed = (rate.perSecond * (systemTime.nowMs() - startedMs)) / 1_000
  const used = (taken() - before) / allowed
  for (const purger of purgers) await purger.stop()
  await emulator.stop()
  return { used, throttled: emulator.counts().throttled }
}

describe('cdn-purger/rates', () => {
  // A tenth of the burst stays unused: here as much as comes in while a busy machine stands still for 1.5 s.
  test.for([
    ['fastly', { unit: 'keys', perSecond: 300, burst: 4_500 }],
    ['cloudflare', { unit: 'requests', perSecond: 20, burst: 300 }],
  ] as const)('two purgers use what %s allows, and are never throttled', async ([kind, rate]) => {
    const { used, throttled } = await share(kind, rate, true)
    expect(throttled).toBe(0)
    expect(used).toBeGreaterThan(0.93)
  })

  test('with buckets of their own they are throttled (sharing them is what prevents it)', async () => {
    const { throttled } = await share('cloudflare', { unit: 'requests', perSecond: 50, burst: 25 }, false)
    expect(throttled).toBeGreaterThan(0)
  })
})
