import { redisKeys } from '@lockstep/schemas'
import { Redis } from 'ioredis'
import type { TestProcess } from '../process.ts'
import type { Fault, Lasting, Target } from './fault-run.ts'

/** What a fault of Redis is done to. */
export interface RedisTarget extends Target {
  /** The pipeline: connector and invalidator. */
  readonly dev: TestProcess
}
type Injected = RedisTarget & Lasting

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

async function withRedis<T>({ world }: Injected, work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(world.redis.url, { maxRetriesPerRequest: null })
  redis.on('error', () => undefined)
  try {
    return await work(redis)
  } finally {
    redis.disconnect()
  }
}

async function pausedFor(process: TestProcess, ms: number, meanwhile?: () => Promise<unknown>): Promise<void> {
  process.child.kill('SIGSTOP')
  await pause(ms)
  await meanwhile?.()
  process.child.kill('SIGCONT')
}

function reader({ world }: Injected, index: number): TestProcess {
  const found = world.readers[index]
  if (!found) throw new Error(`there is no reader ${index}`)
  return found
}

const trimBus = (target: Injected): Promise<unknown> =>
  withRedis(target, (redis) => redis.xtrim(redisKeys(target.world.options.namespace).bus, 'MAXLEN', 0))

/** Every fault of Show 4, in an order in which none leaves something for the next. */
export const FAULTS: readonly Fault<RedisTarget>[] = [
  {
    name: 'stalled (CLIENT PAUSE)',
    inject: (target) =>
      withRedis(target, async (redis) => {
        await redis.call('client', 'pause', target.ms, 'all')
        await pause(target.ms)
      }),
  },
  {
    name: 'stalled (DEBUG SLEEP)',
    inject: (target) => withRedis(target, async (redis) => void (await redis.call('debug', 'sleep', target.ms / 1000))),
  },
  {
    name: 'out of memory, noeviction',
    inject: (target) =>
      withRedis(target, async (redis) => {
        await redis.config('SET', 'maxmemory', '1')
        await pause(target.ms)
        await redis.config('SET', 'maxmemory', '0')
      }),
  },
  {
    name: 'out of memory, evicting',
    inject: (target) =>
      withRedis(target, async (redis) => {
        await redis.config('SET', 'maxmemory-policy', 'allkeys-random', 'maxmemory', '2mb')
        await pause(target.ms)
        await redis.config('SET', 'maxmemory', '0', 'maxmemory-policy', 'noeviction')
      }),
  },
  { name: 'flushed', inject: (target) => withRedis(target, async (redis) => void (await redis.flushall())) },
  {
    name: 'killed, restarted empty',
    inject: async ({ world, ms }) => {
      await world.redis.kill9()
      await pause(ms)
      await world.redis.restart()
    },
  },
  {
    name: 'failed over, its last writes lost',
    inject: async (target) => {
      await withRedis(target, (redis) => redis.save())
      await pause(target.ms / 2)
      await target.world.redis.kill9()
      // It comes back with what it held at the save, as a replica does that had received no more.
      await target.world.redis.restart()
    },
  },
  {
    name: 'bus trimmed behind a reader',
    stops: [0],
    inject: (target) => pausedFor(reader(target, 0), target.ms / 4, () => trimBus(target)),
  },
  { name: 'reader stopped and continued', stops: [0], inject: (target) => pausedFor(reader(target, 0), target.ms) },
  { name: 'pipeline stopped and continued', inject: (target) => pausedFor(target.dev, target.ms) },
]
