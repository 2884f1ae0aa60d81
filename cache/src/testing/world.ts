import { createCache } from '../cache.ts'
import { createMemoryFenceWriter } from '../memory/fence-writer.ts'
import { createMemoryServer, type MemoryServer } from '../memory/server.ts'
import { createMemoryStore } from '../memory/store.ts'
import type { Cache, CacheOptions, Entry, EntryDefinition } from '../types.ts'
import { FakeClock, ProcessClock, settle } from './fake-clock.ts'
import { Gates, gatedStore } from './gated-store.ts'
import { TestPipeline } from './test-pipeline.ts'

/** A row as the loaders of a world read it. */
export interface Row {
  readonly id: string
  readonly version: number
}

/** One process of a world. */
export interface Process {
  readonly cache: Cache
  readonly products: Entry<string, Row>
  readonly gates: Gates
  readonly clock: ProcessClock
  /** Loader runs so far. */
  loads(): number
  /** Holds every loader after it has read its row, until the answer is called. */
  holdLoads(): () => void
}

const HEARTBEAT_MS = 50

/** A database of versions, a server and a pipeline in memory, and as many processes as a test wants, on one fake clock. */
export class World {
  readonly clock = new FakeClock()
  readonly server: MemoryServer = createMemoryServer({ clock: this.clock })
  readonly pipeline = new TestPipeline(createMemoryFenceWriter({ server: this.server }))
  readonly #versions = new Map<string, number>()
  readonly #processes: Process[] = []

  /** Version of a row; rows begin at 1, 0 = absent. */
  version(id: string): number {
    return this.#versions.get(id) ?? 1
  }

  /** Commits a new version without telling the pipeline. */
  write(id: string, version = this.version(id) + 1): void {
    this.#versions.set(id, version)
  }

  /** Commits a new version and applies its fences. */
  async change(id: string, tags: readonly string[] = [`product:${id}`]): Promise<void> {
    this.write(id)
    await this.pipeline.change(tags)
    await settle()
  }

  /** Lets time pass with the watermark moving, as it does while the pipeline is healthy. */
  async beat(ms = HEARTBEAT_MS): Promise<void> {
    for (let passed = 0; passed < ms; passed += HEARTBEAT_MS) {
      await this.clock.advance(Math.min(HEARTBEAT_MS, ms - passed))
      await this.pipeline.heartbeat()
      await settle()
    }
  }

  /** Starts a process; it is attached when this resolves, if the pipeline has begun. */
  async process(
    options: Partial<CacheOptions> = {},
    definition: Partial<EntryDefinition<string, Row>> = {},
  ): Promise<Process> {
    const gates = new Gates()
    const clock = new ProcessClock(this.clock)
    const store = gatedStore(createMemoryStore(this.server), gates)
    const cache = createCache({ redis: null, namespace: 'world', store, clock, random: () => 0.5, ...options })
    let loads = 0
    let held: Promise<void> = Promise.resolve()
    const products = cache.define<string, Row>('product', {
      key: (id) => `product:${id}`,
      load: async (id) => {
        loads += 1
        const version = this.version(id)
        await held
        return version === 0 ? null : { id, version }
      },
      tags: () => ['category:7'],
      ttlMs: 60_000,
      ...definition,
    })
    const holdLoads = (): (() => void) => {
      const gate = Promise.withResolvers<void>()
      held = gate.promise
      return () => {
        held = Promise.resolve()
        gate.resolve()
      }
    }
    const process: Process = { cache, products, gates, clock, loads: () => loads, holdLoads }
    this.#processes.push(process)
    await cache.start()
    await settle()
    return process
  }

  /** Stops every process. */
  async end(): Promise<void> {
    for (const { gates } of this.#processes) gates.openAll()
    const stopping = Promise.all(this.#processes.map(({ cache }) => cache.stop()))
    await this.clock.advance(2_000)
    await stopping
  }
}

/** Creates a world whose pipeline has begun its first generation. */
export async function createWorld(): Promise<World> {
  const world = new World()
  await world.pipeline.open()
  await world.pipeline.heartbeat()
  return world
}
