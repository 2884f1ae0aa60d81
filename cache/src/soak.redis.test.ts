import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { createCache } from './cache.ts'
import { createTestPipeline } from './testing/test-pipeline.ts'
import type { Cache, Entry, UnsafeSwitches } from './types.ts'

const ROWS = 4
const PROCESSES = 3
const READERS_EACH = 6
const SOAK_MS = 2_500
/** Reads of which the reader has just written the row, so that they claim the lease with its fence. */
const OWN_WRITES = 0.03

const pause = (maxMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, Math.random() * maxMs))

/** Versions of a few rows, and which of them each stamp's snapshot saw. */
class Database {
  readonly versions = Array.from({ length: ROWS }, () => 1)
  readonly #seenBy = new Map<string, readonly number[]>()

  write(rows: readonly number[], commit: () => string): string {
    for (const row of rows) this.versions[row] = (this.versions[row] ?? 0) + 1
    const stamp = commit()
    this.#seenBy.set(stamp, [...this.versions])
    return stamp
  }

  version(row: number, stamp: string): number {
    return this.#seenBy.get(stamp)?.[row] ?? 0
  }
}

interface Outcome {
  readonly reads: number
  readonly loads: number
  readonly resurrections: number
}

describe('cache/soak', () => {
  let redis: Redis
  beforeAll(() => {
    redis = new Redis(inject('redisUrl'))
  })
  afterAll(() => redis.disconnect())

  async function soak(unsafe: UnsafeSwitches): Promise<Outcome> {
    const namespace = `soak-${randomUUID()}`
    const pipeline = createTestPipeline(redis, namespace)
    const database = new Database()
    await pipeline.start()
    const end = performance.now() + SOAK_MS
    const caches: Cache[] = []
    let reads = 0
    let resurrections = 0
    const own: Promise<unknown>[] = []

    async function write(): Promise<void> {
      while (performance.now() < end) {
        const group = Math.floor(Math.random() * 2)
        const row = Math.floor(Math.random() * ROWS)
        const isGroup = Math.random() < 0.5
        const rows = isGroup ? database.versions.flatMap((_, at) => (at % 2 === group ? [at] : [])) : [row]
        const stamp = database.write(rows, () => pipeline.commit())
        await pause(4)
        await pipeline.fence([isGroup ? `group:${group}` : `row:${row}`], stamp as ReturnType<typeof pipeline.commit>)
        await pause(4)
      }
    }

    async function readRows(entry: Entry<number, number>, floors: number[]): Promise<void> {
      while (performance.now() < end) {
        const row = Math.floor(Math.random() * ROWS)
        if (Math.random() < OWN_WRITES) {
          const stamp = database.write([row], () => pipeline.commit()) as ReturnType<typeof pipeline.commit>
          floors[row] = Math.max(floors[row] ?? 0, database.version(row, stamp))
          own.push(entry.invalidate(row, stamp), pipeline.fence([`row:${row}`], stamp))
        }
        const floor = floors[row] ?? 0
        const version = (await entry.get(row)) ?? 0
        reads += 1
        if (version < floor) resurrections += 1
        await pause(1)
      }
    }

    async function run(): Promise<void> {
      const cache = createCache({ redis, namespace, unsafe, commandTimeoutMs: 2_000 })
      caches.push(cache)
      const entry = cache.define<number, number>('row', {
        key: (row) => `row:${row}`,
        load: async (row) => {
          await pause(3)
          const version = database.versions[row] ?? 0
          await pause(6)
          return version
        },
        tags: (_, row) => [`group:${row % 2}`],
        ttlMs: 60_000,
      })
      const floors = Array.from({ length: ROWS }, () => 0)
      // Once a process has applied a fence, whatever it reads from then on must see the change.
      cache.onInvalidated((fences) => {
        for (const [tag, stamp] of fences) {
          floors.forEach((floor, row) => {
            const isNamed = tag === `row:${row}` || tag === `group:${row % 2}`
            if (isNamed) floors[row] = Math.max(floor, database.version(row, stamp))
          })
        }
      })
      await cache.start()
      await Promise.all(Array.from({ length: READERS_EACH }, () => readRows(entry, floors)))
    }

    await Promise.all([write(), ...Array.from({ length: PROCESSES }, run)])
    await Promise.all(own)
    await pipeline.stop()
    const loads = caches.reduce((sum, cache) => sum + cache.stats().loads, 0)
    await Promise.all(caches.map((cache) => cache.stop()))
    return { reads, loads, resurrections }
  }

  test('no process ever reads a version from before a change that it has applied', async () => {
    const { reads, loads, resurrections } = await soak({})
    expect(resurrections).toBe(0)
    // Proves that there was something to get wrong: many reads, and most of them no loads.
    expect(reads).toBeGreaterThan(500)
    expect(loads).toBeLessThan(reads)
  })

  test.each(['ignoreFences', 'stampAfterLoad'] as const)('%s brings old versions back', async (off) => {
    expect((await soak({ [off]: true })).resurrections).toBeGreaterThan(0)
  })
})
