import { setTimeout as sleep } from 'node:timers/promises'
import { createCache, type Cache, type CacheOptions, type Entry } from '@lockstep/cache'
import { createTestPipeline, type TestPipeline } from '@lockstep/cache/testing'
import { startRedis } from '@lockstep/servers'
import { Redis } from 'ioredis'
import { median } from '../bench.ts'

/** About 300 bytes as JSON. */
export interface Product {
  readonly id: number
  readonly name: string
  readonly description: string
  readonly priceCents: number
  readonly currency: string
  readonly categoryId: number
  readonly attributes: readonly string[]
  readonly updatedAt: string
}

export const KEYS = 10_000
const CATEGORIES = 100

/** A row as the loaders of all contestants answer it: a fresh object each time, as a database driver's. */
export function product(id: number, version = 0): Product {
  return {
    id,
    name: `Product number ${id} of the catalogue`,
    description: 'Light, sturdy and made to last: the one that everybody at home asks for first.',
    priceCents: 1_000 + version,
    currency: 'EUR',
    categoryId: id % CATEGORIES,
    attributes: ['blue', 'medium', 'recycled'],
    updatedAt: '2026-11-21T12:00:00.000Z',
  }
}

/** Names row `id`, for every contestant alike; made once, as the key of a lookup table would be. */
export const keys: readonly string[] = Array.from({ length: 100_000 }, (_, id) => `product:${id}`)

/** Time to live of every contestant's values. */
export const TTL_MS = 3_600_000

/** Every contestant gets the same sequence of draws. */
export const SEED = 0x2545f491

/** A Redis, a pipeline that keeps the watermark moving, and caches attached to both with every check on. */
export interface CacheRig {
  readonly url: string
  readonly redis: Redis
  readonly pipeline: TestPipeline
  cache(options?: Partial<CacheOptions>): Promise<Cache>
  close(): Promise<void>
}

export async function openCacheRig(): Promise<CacheRig> {
  const server = await startRedis({ needs: 'process' })
  const redis = new Redis(server.url)
  const namespace = 'bench'
  const pipeline = createTestPipeline(redis, namespace)
  await pipeline.start()
  const caches: Cache[] = []
  return {
    url: server.url,
    redis,
    pipeline,
    cache: async (options = {}) => {
      // A tight loop keeps Redis' answers waiting: a time-out would measure the benchmark, not the cache.
      const cache = createCache({ redis: { url: server.url }, namespace, commandTimeoutMs: 5_000, ...options })
      caches.push(cache)
      await cache.start()
      return cache
    },
    close: async () => {
      for (const cache of caches) await cache.stop()
      await pipeline.stop()
      redis.disconnect()
      await server.stop()
    },
  }
}

/** Defines the products of a cache; `key` is the key itself, so that no contestant pays for building it. */
export function defineProducts(cache: Cache, load: (key: string) => Promise<Product>): Entry<string, Product> {
  return cache.define<string, Product>('product', {
    key: (key) => key,
    load: (key) => load(key),
    tags: (value) => (value ? [`category:${value.categoryId}`] : []),
    ttlMs: TTL_MS,
  })
}

/** Id behind a key. */
export function idOf(key: string): number {
  return Number(key.slice('product:'.length))
}

/** Lets timers and sockets catch up after a tight loop. */
export function breathe(ms = 60): Promise<void> {
  return sleep(ms)
}

/** One thing that is measured beside others: runs once and answers a number, such as ns per operation. */
export type Contestant = readonly [name: string, run: () => number | Promise<number>]

/** Runs the contestants in turn, `rounds` times after the warm-ups; answers all results by name. */
export async function inTurn(
  contestants: readonly Contestant[],
  rounds: number,
  warmUps = 2,
): Promise<Map<string, number[]>> {
  const results = new Map<string, number[]>(contestants.map(([name]) => [name, []]))
  for (let round = -warmUps; round < rounds; round++) {
    // Another one first each time: whoever runs behind a contestant collects some of its garbage.
    const first = (round + warmUps) % contestants.length
    for (const [name, run] of [...contestants.slice(first), ...contestants.slice(0, first)]) {
      await breathe()
      const result = await run()
      if (round >= 0) results.get(name)?.push(result)
    }
  }
  return results
}

/** Median over the rounds of ours ÷ theirs in the same round. */
export function ratioOf(results: Map<string, number[]>, ours: string, theirs: string): number {
  const other = results.get(theirs) ?? []
  return median((results.get(ours) ?? []).map((value, round) => value / (other[round] ?? Number.NaN)))
}
