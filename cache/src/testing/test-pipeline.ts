import { clockOf, stampOf, type BusFence, type Stamp } from '@lockstep/schemas'
import type { Redis } from 'ioredis'
import type { AppliedWatermark, FenceWriter } from '../fence-writer.ts'
import { createFenceWriter } from '../redis/fence-writer.ts'

/** How a test pipeline behaves. */
export interface TestPipelineOptions {
  readonly partitions?: number | undefined
  /** Interval of watermarks after `start`, ms. Default 50. */
  readonly heartbeatMs?: number | undefined
}

/**
 * Plays connector and invalidator for tests of what reads: opens generations, hands out stamps in order, fences tags and
 * keeps the watermark moving, through the real `FenceWriter`.
 */
export class TestPipeline {
  readonly writer: FenceWriter
  readonly #partitions: number
  readonly #heartbeatMs: number
  readonly #next: bigint[]
  #generation = 0
  #xmax = 100n
  #turn: Promise<unknown> = Promise.resolve()
  #timer: NodeJS.Timeout | null = null

  constructor(writer: FenceWriter, options: TestPipelineOptions = {}) {
    this.writer = writer
    this.#partitions = options.partitions ?? 1
    this.#heartbeatMs = options.heartbeatMs ?? 50
    this.#next = Array.from({ length: this.#partitions }, () => 0n)
  }

  /** Stamp of a snapshot that sees every change so far. */
  get stamp(): Stamp {
    return stampOf(this.#generation, clockOf({ xmin: this.#xmax, xmax: this.#xmax, xip: [] }))
  }

  /** Commits a transaction nobody fences yet; answers the stamp of a snapshot that sees it. */
  commit(): Stamp {
    this.#xmax += 1n
    return this.stamp
  }

  /** Opens the next generation (or the one given) in every partition. */
  open(generation = this.#generation + 1): Promise<void> {
    return this.#inTurn(async () => {
      this.#generation = generation
      for (let partition = 0; partition < this.#partitions; partition++) {
        const next = (this.#next[partition] ?? 0n) + 1n
        await this.writer.open({ generation, partition, next, partitions: this.#partitions })
        this.#next[partition] = next
      }
    })
  }

  /** Sends one watermark through every partition: everything committed so far is applied, as of Redis time now. */
  heartbeat(lsn?: string): Promise<void> {
    return this.#inTurn(async () => {
      const echo = (await this.writer.redisTimeUs()).toString()
      const stamp = this.stamp
      for (let partition = 0; partition < this.#partitions; partition++) {
        await this.#advance(partition, [], { stamp, echo, partitions: this.#partitions, lsn })
      }
    })
  }

  /** Commits a change of the tags and applies its fences; answers its stamp and bus entry. */
  change(tags: readonly string[]): Promise<{ stamp: Stamp; busId: string }> {
    const stamp = this.commit()
    return this.fence(tags, stamp)
  }

  /** Applies the fences of a change committed before. */
  fence(tags: readonly string[], stamp: Stamp): Promise<{ stamp: Stamp; busId: string }> {
    return this.#inTurn(async () => {
      const at = performance.timeOrigin + performance.now()
      return {
        stamp,
        busId: await this.#advance(
          0,
          tags.map((tag): BusFence => [tag, stamp, at]),
        ),
      }
    })
  }

  /** Raises fences of which the bus tells nothing yet, in a batch of a partition that nobody knows. */
  async raise(tags: readonly string[], stamp: Stamp): Promise<void> {
    await this.writer.advance({
      partition: this.#partitions,
      from: 0n,
      to: 0n,
      fences: tags.map((tag) => [tag, stamp, 0]),
    })
  }

  /** Opens a generation unless one is open, and keeps the watermark moving until `stop`. */
  async start(): Promise<void> {
    if (this.#generation === 0) await this.open()
    await this.heartbeat()
    const beat = (): void => {
      this.#timer = setTimeout(() => {
        // Redis may be away on purpose: the next beat tries again.
        void this.heartbeat()
          .catch(() => undefined)
          .finally(() => this.#timer && beat())
      }, this.#heartbeatMs)
      this.#timer.unref()
    }
    beat()
  }

  /** Stops the watermark: from now on everything ages. */
  async stop(): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    await this.#turn.catch(() => undefined)
  }

  async #advance(partition: number, fences: readonly BusFence[], watermark?: AppliedWatermark): Promise<string> {
    const from = this.#next[partition] ?? 0n
    const reply = await this.writer.advance({ partition, from, to: from + 1n, fences, watermark })
    if (reply.kind === 'stands') {
      // An earlier call took effect although its answer was lost.
      this.#next[partition] = reply.offset
      return this.#advance(partition, fences, watermark)
    }
    if (reply.kind !== 'applied') throw new Error(`the test pipeline cannot advance: ${reply.kind}; call open() first`)
    this.#next[partition] = from + 1n
    return reply.busId
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work, work)
    this.#turn = result.catch(() => undefined)
    return result
  }
}

/** Creates a pipeline over a Redis client, which stays the caller's. */
export function createTestPipeline(redis: Redis, namespace: string, options?: TestPipelineOptions): TestPipeline {
  return new TestPipeline(createFenceWriter({ redis, namespace }), options)
}
