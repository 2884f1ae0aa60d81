import type { BusFence, RedisKeys, Stamp } from '@lockstep/schemas'
import { coarseField, isCoarse } from '../advance-plan.ts'
import { BUS_MAX_ENTRIES } from '../fence-writer.ts'
import type { Sequencer } from '../store.ts'
import { call, type Command } from './pipeline.ts'
import { DRAW, PUBLISH } from './scripts.ts'

/** The sequence of explicit invalidations in Redis: one script each, all in the slot of `w`. */
export class RedisSequencer implements Sequencer {
  readonly #run: (command: Command) => Promise<unknown>
  readonly #keys: RedisKeys
  readonly #nonce: () => string

  constructor(parts: {
    readonly run: (command: Command) => Promise<unknown>
    readonly keys: RedisKeys
    readonly nonce: () => string
  }) {
    this.#run = parts.run
    this.#keys = parts.keys
    this.#nonce = parts.nonce
  }

  async draw(): Promise<Stamp> {
    return (await this.#run(call(DRAW, [this.#keys.watermark], []))) as Stamp
  }

  async publish(stamp: Stamp, fences: readonly BusFence[]): Promise<boolean> {
    const coarse = fences.flatMap(([tag]) => (isCoarse(tag) ? [coarseField(tag)] : []))
    return (await this.#publish(stamp, fences, 0, coarse)) === 1
  }

  async beat(intervalMs: number): Promise<void> {
    await this.#publish('', [], intervalMs, [])
  }

  #publish(
    stamp: string,
    fences: readonly BusFence[],
    intervalMs: number,
    coarse: readonly string[],
  ): Promise<unknown> {
    const args = [this.#nonce(), stamp, JSON.stringify(fences), Math.floor(intervalMs * 1_000), BUS_MAX_ENTRIES]
    return this.#run(call(PUBLISH, [this.#keys.watermark, this.#keys.bus], [...args, ...coarse]))
  }
}
