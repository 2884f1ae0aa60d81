import { TOPICS } from '@lockstep/runtime'
import type { EventLog, Logger, TimeSource } from '@lockstep/runtime'
import { encodeControl } from '@lockstep/schemas'
import type { InvalidatorMetrics } from './metrics.ts'
import type { FenceWriter } from './ports.ts'

/** What the echo loop needs. */
export interface EchoDeps {
  readonly writer: Pick<FenceWriter, 'redisTimeUs'>
  readonly log: Pick<EventLog, 'produce'>
  readonly time: TimeSource
  readonly logger: Logger
  readonly metrics: Pick<InvalidatorMetrics, 'failed'>
  /** Pause between two echoes. */
  readonly echoMs: number
}

/**
 * Sends Redis' own time over `control`, over and over. A watermark that carries it back was taken after it was read, so
 * the age of what a layer has applied is a difference of two readings of one clock.
 */
export class EchoLoop {
  readonly #deps: EchoDeps
  #sample: { readonly redisUs: bigint; readonly atMs: number } | null = null
  #isFailing = false

  constructor(deps: EchoDeps) {
    this.#deps = deps
  }

  /** Runs until `signal` aborts. A failed echo only lets the layers' age grow, so it is counted and tried again. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#once()
      await this.#deps.time.sleep(this.#deps.echoMs, signal).catch(() => undefined)
    }
  }

  /** Redis' time now, µs, by the last reading; null before the first. For measuring only. */
  redisNowUs(): bigint | null {
    if (this.#sample === null) return null
    return this.#sample.redisUs + BigInt(Math.round((this.#deps.time.nowMs() - this.#sample.atMs) * 1000))
  }

  async #once(): Promise<void> {
    const { writer, log, time, logger, metrics } = this.#deps
    try {
      const redisUs = await writer.redisTimeUs()
      this.#sample = { redisUs, atMs: time.nowMs() }
      await log.produce(TOPICS.control, [
        { key: null, value: encodeControl({ kind: 'echo', redisTimeUs: redisUs.toString() }) },
      ])
      if (this.#isFailing) logger.info({}, 'echo resumed')
      this.#isFailing = false
    } catch (error) {
      metrics.failed('echo')
      if (!this.#isFailing) logger.warn({ error }, 'echo failed, layers will look older than they are')
      this.#isFailing = true
    }
  }
}
