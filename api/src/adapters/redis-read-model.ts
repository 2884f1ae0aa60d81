import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { openRedis } from '@lockstep/cache'
import { parseSnapshot } from '@lockstep/schemas'
import type { Redis } from 'ioredis'
import type { Applied, Build, ModelBatch, ModelContent, ModelReader, ModelWriter } from '../bestsellers/read-model.ts'

/**
 * KEYS model, sold, categories; ARGV build, partition, from, to, number of sold pairs, then pairs of (product, units), then of
 * (category, products).
 */
const APPLY = `
local model = KEYS[1]
if redis.call('HGET', model, 'build') ~= ARGV[1] then return {'changed'} end
local field = 'p:' .. ARGV[2]
local stands = redis.call('HGET', model, field)
if stands and stands ~= ARGV[3] then return {'stands', stands} end
redis.call('HSET', model, field, ARGV[4])
local behind = 5 + 2 * ARGV[5]
for i = 6, behind, 2 do redis.call('ZINCRBY', KEYS[2], ARGV[i + 1], ARGV[i]) end
for i = behind + 1, #ARGV, 2 do redis.call('HINCRBY', KEYS[3], ARGV[i], ARGV[i + 1]) end
return {'applied'}`

/** KEYS model; ARGV build. Takes the model out of force and notes who builds the next one. */
const BEGIN = `
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'building', ARGV[1])`

/** KEYS model; ARGV build, snapshot. Answers 0 where another one builds. */
const PUBLISH = `
if redis.call('HGET', KEYS[1], 'building') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'building')
redis.call('HSET', KEYS[1], 'build', ARGV[1], 'snapshot', ARGV[2])
return 1`

const PAIRS_PER_COMMAND = 1_000
// A builder that died is replaced after this, ms; the content of a build that is out of force lives this much longer.
const BUILD_WITHIN_MS = 60_000

/** The read model in Redis: every key of a namespace in one slot, the content of each build under keys of its own. */
export interface RedisReadModel extends ModelReader, ModelWriter {
  /** Resolves when the connection stands. */
  ready(): Promise<void>
  close(): void
}

/** Connects at once and again for ever; while Redis is away every call fails at once. */
export function openReadModel(options: {
  readonly url: string
  readonly namespace: string
  readonly commandTimeoutMs: number
  readonly failed: (error: unknown) => void
}): RedisReadModel {
  const redis = openRedis(options.url, options.namespace, {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    commandTimeout: options.commandTimeoutMs,
    connectTimeout: 1_000,
    retryStrategy: (attempt) => Math.min(20 * 2 ** Math.min(attempt, 6), 1_000),
  })
  redis.on('error', options.failed)
  const keys = keysOf(options.namespace)
  return {
    ...writerOf(redis, keys),
    async bestsellers(limit) {
      const build = await redis.hget(keys.model, 'build')
      if (build === null) return null
      const words = await redis.zrevrangebyscore(keys.sold(build), '+inf', '(0', 'WITHSCORES', 'LIMIT', 0, limit)
      return pairsOf(words).map(([productId, sold]) => ({ productId: Number(productId), sold }))
    },
    async categoryCounts() {
      const build = await redis.hget(keys.model, 'build')
      if (build === null) return null
      const counts = Object.entries(await redis.hgetall(keys.categories(build)))
      return Object.fromEntries(counts.map(([category, n]) => [category, Number(n)]).filter(([, n]) => n !== 0))
    },
    async ready() {
      if (redis.status !== 'ready') await once(redis, 'ready')
    },
    close: () => redis.disconnect(),
  }
}

type Keys = ReturnType<typeof keysOf>

function keysOf(namespace: string) {
  // In the slot of the namespace's other keys: of a cluster, one master holds them all.
  const prefix = `{${namespace}}:shop`
  return {
    model: `${prefix}:model`,
    lock: `${prefix}:builder`,
    sold: (build: string) => `${prefix}:sold:${build}`,
    categories: (build: string) => `${prefix}:categories:${build}`,
  }
}

function writerOf(redis: Redis, keys: Keys): ModelWriter {
  return {
    async build(): Promise<Build | null> {
      const [name, snapshot] = await redis.hmget(keys.model, 'build', 'snapshot')
      return name && snapshot ? { name, snapshot: parseSnapshot(snapshot) } : null
    },
    async apply({ build, partition, from, to, delta }: ModelBatch): Promise<Applied> {
      const { sold, categories } = delta
      const args = [build, partition, `${from}`, `${to}`, sold.size, ...[...sold].flat(), ...[...categories].flat()]
      const reply = await redis.eval(APPLY, 3, keys.model, keys.sold(build), keys.categories(build), ...args)
      const [kind, offset = '0'] = reply as [Applied['kind'], string?]
      return kind === 'stands' ? { kind, offset: BigInt(offset) } : { kind }
    },
    async rebuild(read): Promise<boolean> {
      const build = randomUUID()
      // Saves work only: which build comes into force is decided below.
      if ((await redis.set(keys.lock, build, 'PX', BUILD_WITHIN_MS, 'NX')) === null) return false
      try {
        const old = await redis.hget(keys.model, 'build')
        await redis.eval(BEGIN, 1, keys.model, build)
        if (old !== null)
          for (const key of [keys.sold(old), keys.categories(old)]) await redis.pexpire(key, BUILD_WITHIN_MS)
        const content = await read()
        await fill(redis, keys, { build, content })
        return (await redis.eval(PUBLISH, 1, keys.model, build, content.snapshot)) === 1
      } finally {
        await redis.del(keys.lock)
      }
    },
  }
}

async function fill(
  redis: Redis,
  keys: Keys,
  { build, content }: { build: string; content: ModelContent },
): Promise<void> {
  const sold = Object.entries(content.sold)
  for (let start = 0; start < sold.length; start += PAIRS_PER_COMMAND) {
    const members = sold.slice(start, start + PAIRS_PER_COMMAND).flatMap(([product, n]) => [n, product])
    await redis.zadd(keys.sold(build), ...(members as [number, string]))
  }
  if (Object.keys(content.categories).length > 0) await redis.hset(keys.categories(build), content.categories)
}

function pairsOf(words: readonly string[]): [string, number][] {
  return words.flatMap((word, index) => (index % 2 === 0 ? [[word, Number(words[index + 1])] as [string, number]] : []))
}
