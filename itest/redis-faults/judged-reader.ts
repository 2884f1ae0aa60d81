import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { createCache, type Cache, type Entry, type UnsafeSwitches } from '@lockstep/cache'
import type { StandIn } from './stand-in.ts'

/** How a reader is set up. */
export interface JudgedReaderOptions {
  readonly source: StandIn
  readonly redisUrl: string
  readonly namespace: string
  readonly maxStalenessMs: number
  /** By how much an answer may be late to be judged right: timers of one process run one behind another. */
  readonly toleranceMs: number
  readonly rows: number
  /** Where it begins to read; default 0. */
  readonly firstRow?: number | undefined
  readonly unsafe?: UnsafeSwitches | undefined
}

/** What all reads of one reader came to. */
export interface Judgement {
  readonly reads: number
  /** Of those, how many came from Redis. */
  readonly fromRedis: number
  readonly stale: number
  readonly p99Ms: number
}

const AT_ONCE = 4

/** Reads rows through a cache of its own, one after the other and over and over, and judges every answer. */
export class JudgedReader {
  readonly #options: JudgedReaderOptions
  readonly #cache: Cache
  readonly #items: Entry<number, number>
  readonly #tookMs: number[] = []
  #fromRedis = 0
  #stale = 0
  #lastLocalAt = 0
  #next = 0
  /** Reads no row below. */
  firstRow: number
  #loops: Promise<unknown> = Promise.resolve()
  #isStopped = false

  private constructor(options: JudgedReaderOptions) {
    const { source, redisUrl, namespace, maxStalenessMs, unsafe = {} } = options
    this.#options = options
    this.firstRow = options.firstRow ?? 0
    this.#cache = createCache({ redis: { url: redisUrl }, namespace, maxStalenessMs, unsafe })
    this.#items = this.#cache.define<number, number>('item', {
      key: (id) => `item:${id}`,
      load: (id) => Promise.resolve(source.versionOf(id)),
      tags: () => [],
      ttlMs: 120_000,
    })
  }

  static async start(options: JudgedReaderOptions): Promise<JudgedReader> {
    const reader = new JudgedReader(options)
    await reader.#cache.start()
    reader.#loops = Promise.all(Array.from({ length: AT_ONCE }, () => reader.#loop()))
    return reader
  }

  /** Tells whether its own memory has answered since that time, monotonic ms. */
  isNormalSince(at: number): boolean {
    return this.#lastLocalAt > at
  }

  /** How often it has read every row, at least. */
  get rounds(): number {
    return Math.floor(this.#next / this.#options.rows)
  }

  judgement(): Judgement {
    const took = this.#tookMs.toSorted((a, b) => a - b)
    const p99Ms = Math.round(took[Math.floor(took.length * 0.99)] ?? Number.NaN)
    return { reads: took.length, fromRedis: this.#fromRedis, stale: this.#stale, p99Ms }
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#loops
    await this.#cache.stop()
  }

  async #loop(): Promise<void> {
    while (!this.#isStopped) {
      await this.#read(this.firstRow + (this.#next++ % (this.#options.rows - this.firstRow)))
      await pause(1)
    }
  }

  async #read(id: number): Promise<void> {
    const { source, maxStalenessMs, toleranceMs } = this.#options
    const startedAt = performance.now()
    const due = source.dueOf(id, startedAt, maxStalenessMs + toleranceMs)
    const { value, layer } = await this.#items.read(id)
    this.#tookMs.push(performance.now() - startedAt)
    if (layer === 'l1') this.#lastLocalAt = startedAt
    if (layer === 'l2') this.#fromRedis += 1
    if ((value ?? 0) < due) this.#stale += 1
  }
}
