import {
  createCache,
  createMemoryFenceWriter,
  createMemoryServer,
  createMemoryStore,
  type Cache,
  type CacheClock,
} from '@lockstep/cache'
import { TestPipeline } from '@lockstep/cache/testing'
import type { Logger } from '@lockstep/runtime'
import { FakeTime, settle } from '@lockstep/runtime/testing'
import { parseClock, type Stamp } from '@lockstep/schemas'
import type { FastifyInstance } from 'fastify'
import { buildApp } from '../app.ts'
import { defineEntries } from '../entries.ts'
import { primaryOnly } from '../replicas/read-source.ts'
import { testSessions } from './test-sessions.ts'
import { MemoryShop } from './memory-shop.ts'

/** Signs the tokens of every process of a world. */
export const SECRET = 'a-secret-of-the-tests'

const TTL_MS = 300_000
const EDGE_TTL_SECONDS = 60
const REBOUND_MS = 2_000
// Well below the contract, so that nothing ages while time passes.
const HEARTBEAT_MS = 500
const GENERATION_DIGITS = 8
const LONGEST_PAUSE_MS = 3_000

/** One process of a world. */
export interface Process {
  readonly app: FastifyInstance
  readonly cache: Cache
}

/** A shop, a pipeline and a Redis in memory, and as many API processes as a test wants, on one clock that stands still. */
export class World {
  readonly time = new FakeTime()
  readonly shop: MemoryShop
  readonly pipeline: TestPipeline
  /** What was logged at warn and error. */
  readonly logged: { readonly level: string; readonly message: string; readonly fields: object }[] = []
  readonly #clock: CacheClock
  readonly #server: ReturnType<typeof createMemoryServer>
  readonly #processes: Process[] = []

  constructor() {
    const { time } = this
    this.#clock = {
      now: () => time.nowMs(),
      wall: () => time.wallMs(),
      sleep: (ms, signal) => time.sleep(ms, signal).catch(() => undefined),
    }
    this.#server = createMemoryServer({ clock: this.#clock })
    this.pipeline = new TestPipeline(createMemoryFenceWriter({ server: this.#server }))
    const categories = [
      { id: 1, name: 'Lamps' },
      { id: 2, name: 'Chairs' },
    ]
    this.shop = new MemoryShop(() => parseClock(this.pipeline.commit().slice(GENERATION_DIGITS)), categories)
  }

  /** Starts a process; without `isAttached` it has not found a bus yet. */
  async start({ isAttached = true, hasDocs = false } = {}): Promise<Process> {
    if (isAttached && this.#processes.length === 0) await this.pipeline.open()
    const cache = createCache({
      redis: null,
      store: createMemoryStore(this.#server),
      namespace: 'shop',
      clock: this.#clock,
    })
    const app = await buildApp({
      cache,
      shop: this.shop,
      recent: this.shop,
      entries: defineEntries({ cache, source: primaryOnly(this.shop), ttlMs: TTL_MS }),
      log: this.#log(),
      tokenSecret: SECRET,
      sessions: testSessions,
      hasDocs,
      edgeTtlSeconds: EDGE_TTL_SECONDS,
      reboundMs: REBOUND_MS,
      trustProxy: false,
      maxEventLoopDelayMs: 0,
      maxEventLoopUtilization: 0,
    })
    await cache.start()
    const started = { app, cache }
    this.#processes.push(started)
    if (isAttached) await this.pass(REBOUND_MS + HEARTBEAT_MS)
    return started
  }

  /** Lets time pass with the watermark moving. */
  async pass(ms: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += HEARTBEAT_MS) {
      await this.time.advance(HEARTBEAT_MS)
      await this.pipeline.heartbeat()
      await settle()
    }
  }

  /** Applies the fences of a change everywhere. */
  async fence(tags: readonly string[], stamp: Stamp = this.pipeline.stamp): Promise<void> {
    await this.pipeline.fence(tags, stamp)
    await settle()
  }

  async stop(): Promise<void> {
    const stopping = this.#processes.splice(0).map(async ({ app, cache }) => {
      await app.close()
      await cache.stop()
    })
    // Lets pauses end that a stop waits for.
    await this.time.advance(LONGEST_PAUSE_MS)
    await Promise.all(stopping)
  }

  #log(): Logger {
    const at = (level: string) => (fields: object, message: string) => void this.logged.push({ level, message, fields })
    const log: Logger = {
      debug: () => undefined,
      info: () => undefined,
      warn: at('warn'),
      error: at('error'),
      child: () => log,
    }
    return log
  }
}
