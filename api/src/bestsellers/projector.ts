import { retry, type LogBatch, type TimeSource } from '@lockstep/runtime'
import { project } from './projection.ts'
import type { Build, ModelContent, ModelWriter } from './read-model.ts'

/** What projecting needs. */
export interface ProjectorDeps {
  readonly model: ModelWriter
  /** Reads the primary: a snapshot and what it sees, in one statement. */
  readonly read: () => Promise<ModelContent>
  readonly time: TimeSource
  readonly random: () => number
  readonly rebuilt: (reason: string) => void
  readonly failed: (error: unknown) => void
}

const RETRY = { initialMs: 50, maxMs: 2_000 }
// Between two questions for a model that another worker builds.
const WAIT_MS = 100

/**
 * Projects `changes` into the read model. The position of each partition lies with the model, so a batch that comes twice
 * counts once; a model that is gone, a hole in the log, or what no sum can tell makes it build anew from the database.
 */
export class Projector {
  readonly #deps: ProjectorDeps
  #build: Build | null = null

  constructor(deps: ProjectorDeps) {
    this.#deps = deps
  }

  /** Name of the build that this worker adds to. */
  get buildName(): string | null {
    return this.#build?.name ?? null
  }

  /** Handles one batch: commits it when the model has it, or asks for the records that the model lacks. */
  async handle(batch: LogBatch, signal: AbortSignal): Promise<void> {
    const { time, random, failed } = this.#deps
    const policy = { ...RETRY, random }
    const sleep: TimeSource['sleep'] = (ms, abort) => time.sleep(ms, abort)
    const position = await retry(() => this.#apply(batch, signal), { policy, signal, sleep, onRetry: failed })
    if (position < batch.nextOffset) batch.rewind(position)
    else batch.commit()
  }

  /** Answers where the partition stands then. */
  async #apply(batch: LogBatch, signal: AbortSignal): Promise<bigint> {
    const { model } = this.#deps
    const { partition, firstOffset: from, nextOffset: to, records } = batch
    const hasHole = records[0] !== undefined && records[0].offset !== from
    let wasRebuilt = false
    for (;;) {
      signal.throwIfAborted()
      const build = (this.#build ??= await model.build())
      if (!build) {
        await this.#rebuild('no-model', signal)
        wasRebuilt = true
        continue
      }
      const projected =
        hasHole && !wasRebuilt ? ({ kind: 'rebuild', reason: 'log-gap' } as const) : project(records, build.snapshot)
      if (projected.kind === 'rebuild' && !wasRebuilt) {
        await this.#rebuild(projected.reason, signal)
        wasRebuilt = true
        continue
      }
      // A build that was begun behind these records has seen everything in them, readable or not.
      const delta = projected.kind === 'delta' ? projected.delta : { sold: new Map(), categories: new Map() }
      const applied = await model.apply({ build: build.name, partition, from, to, delta })
      if (applied.kind === 'applied') return to
      if (applied.kind === 'stands') return applied.offset
      this.#build = null
    }
  }

  async #rebuild(reason: string, signal: AbortSignal): Promise<void> {
    const { model, read, rebuilt, time } = this.#deps
    this.#build = null
    if (await model.rebuild(read)) rebuilt(reason)
    else await time.sleep(WAIT_MS, signal)
  }
}
