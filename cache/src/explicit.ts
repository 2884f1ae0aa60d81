import { epochStart, stampOf, type BusFence, type Clock, type Stamp, type Tag } from '@lockstep/schemas'
import { isCoarse } from './advance-plan.ts'
import type { CacheContext } from './context.ts'
import type { Sequencer } from './store.ts'

/** Beats per contract: five lost in a row still leave the layers vouched for. */
const BEATS_PER_CONTRACT = 10
const SHORTEST_BEAT_MS = 50
const LONGEST_BEAT_MS = 1_000
/** Attempts at an invalidation whose sequence is begun anew meanwhile. */
const ATTEMPTS = 3

/**
 * Stands in for the pipeline where there is none: processes tell each other of explicit invalidations through the same
 * fences and the same bus. A stamp is a number drawn after the caller's commit, so that a load which began behind it sees
 * that commit; what nobody invalidates is found by time to live only.
 */
export class ExplicitMode {
  readonly #context: CacheContext
  readonly #sequencer: Sequencer
  readonly #shortFenceMs: number
  readonly #beatMs: number
  #heardAt = Number.NEGATIVE_INFINITY

  constructor(context: CacheContext, sequencer: Sequencer, shortFenceMs: number) {
    this.#context = context
    this.#sequencer = sequencer
    this.#shortFenceMs = shortFenceMs
    const share = context.limits.maxStalenessMs / BEATS_PER_CONTRACT
    this.#beatMs = Math.min(LONGEST_BEAT_MS, Math.max(SHORTEST_BEAT_MS, share))
  }

  /** Draws the stamp of now: whoever demands it gets nothing that was loaded before. */
  draw(): Promise<Stamp> {
    return this.#sequencer.draw()
  }

  /** Fences tags everywhere. @throws CacheError when Redis did not answer: other processes may not have heard. */
  async invalidate(tags: readonly Tag[]): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const stamp = await this.#sequencer.draw()
      for (const tag of tags) this.#context.knowledge.raise(tag, stamp)
      const plain = tags.filter((tag) => !isCoarse(tag)).map((tag) => ({ tag, stamp }))
      await this.#context.store?.fences.apply(plain, this.#shortFenceMs)
      if (
        await this.#sequencer.publish(
          stamp,
          tags.map((tag): BusFence => [tag, stamp, 0]),
        )
      )
        return
    }
  }

  /** Begins the sequence, so that the tail finds one. */
  async begin(): Promise<void> {
    await this.#sequencer.beat(this.#beatMs).catch((error: unknown) => {
      this.#context.events.failed?.(error, 'beginning the sequence')
    })
  }

  /** An entry of the bus arrived: some process keeps it alive. */
  heard(): void {
    this.#heardAt = this.#context.clock.now()
  }

  /** Keeps the bus alive until the cache stops, unless another process does. */
  async run(): Promise<void> {
    const { clock, signal, random, events } = this.#context
    while (!signal.aborted) {
      try {
        if (clock.now() - this.#heardAt >= this.#beatMs) await this.#sequencer.beat(this.#beatMs)
      } catch (error) {
        events.failed?.(error, 'keeping the bus alive')
      }
      await clock.sleep(this.#beatMs * (0.75 + random() / 2), signal)
    }
  }
}

/** The sequence of a cache without Redis: this process is all there is. */
export class LocalSequencer implements Sequencer {
  readonly #context: CacheContext
  #drawn = 0n

  constructor(context: CacheContext) {
    this.#context = context
  }

  /** Begins: from now on the only process vouches for itself. */
  open(): void {
    const start = epochStart(1)
    const bus = { watermark: start, echo: '', nonce: '', id: '0-0' }
    this.#context.knowledge.attach({ generation: 1, start, everything: start, classes: new Map(), ...bus })
    this.#context.freshness.standAlone()
  }

  draw(): Promise<Stamp> {
    this.#drawn += 1n
    const clock = `${this.#drawn.toString(16).padStart(16, '0')}ffff` as Clock
    return Promise.resolve(stampOf(1, clock))
  }

  publish(): Promise<boolean> {
    return Promise.resolve(true)
  }

  beat(): Promise<void> {
    return Promise.resolve()
  }
}
