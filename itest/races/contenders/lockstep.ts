import { createCache } from '@lockstep/cache'
import { createTestPipeline, type TestPipeline } from '@lockstep/cache/testing'
import { compareBusIds, redisKeys } from '@lockstep/schemas'
import { pollUntil } from '@lockstep/servers'
import { Redis } from 'ioredis'
import { TTL_MS, type CacheUnderTest, type Contender, type Outside, type Surroundings } from '../contender.ts'

/** Contract of the caches here, ms: what a dead bus may cost. */
export const CONTRACT_MS = 300
/** Holds of a scenario are short; a command must outlive them. */
const COMMAND_TIMEOUT_MS = 2_000
const APPLIED_WITHIN_MS = 5_000

async function open(surroundings: Surroundings): Promise<CacheUnderTest> {
  const { host, port, namespace, load, tagsOf, unsafe } = surroundings
  const cache = createCache({
    redis: { url: `redis://${host}:${port}` },
    namespace,
    maxStalenessMs: CONTRACT_MS,
    commandTimeoutMs: COMMAND_TIMEOUT_MS,
    unsafe,
  })
  const rows = cache.define<string, number>('row', {
    key: (id) => `row:${id}`,
    load: (id) => load(id),
    tags: (_, id) => tagsOf(id).map((tag) => `tag:${tag}`),
    ttlMs: TTL_MS,
  })
  await cache.start()
  return {
    get: async (id) => (await rows.get(id)) ?? 0,
    invalidate: () => Promise.resolve(),
    // A reader is answered before its value is stored; one that asks whether it is waits for that.
    fill: (id) => rows.read(id),
    applied: async (mark) => {
      const hasApplied = (): boolean => {
        const { tailAttached, tailPosition } = cache.stats()
        return tailAttached && tailPosition !== null && compareBusIds(tailPosition, mark) >= 0
      }
      if (!(await pollUntil(hasApplied, APPLIED_WITHIN_MS))) throw new Error('the tail did not catch up')
    },
    close: () => cache.stop(),
  }
}

/** Plays connector and invalidator. */
class Log implements Outside {
  readonly #redis: Redis
  readonly #pipeline: TestPipeline
  readonly #namespace: string

  constructor(redisUrl: string, namespace: string) {
    this.#redis = new Redis(redisUrl)
    this.#namespace = namespace
    this.#pipeline = createTestPipeline(this.#redis, namespace)
  }

  async begin(): Promise<this> {
    await this.#pipeline.start()
    return this
  }

  async invalidate({ ids = [], tag }: { ids?: readonly string[]; tag?: string }): Promise<string> {
    const tags = [...ids.map((id) => `row:${id}`), ...(tag === undefined ? [] : [`tag:${tag}`])]
    return (await this.#pipeline.change(tags)).busId
  }

  async loseBus(): Promise<void> {
    await this.#redis.xtrim(redisKeys(this.#namespace).bus, 'MAXLEN', 0)
  }

  async close(): Promise<void> {
    await this.#pipeline.stop()
    this.#redis.disconnect()
  }
}

/** Ours, fed by the log as in production. */
export const lockstep: Contender = {
  name: 'lockstep',
  hasTags: true,
  isShared: true,
  hasL1: true,
  open,
  outside: (redisUrl, namespace) => new Log(redisUrl, namespace).begin(),
}
