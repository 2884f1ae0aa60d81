import { TOPICS } from '@lockstep/runtime'
import type { EventLog, TimeSource } from '@lockstep/runtime'
import { encodeControl } from '@lockstep/schemas'

/** Why a new generation is needed, and whether the edge may have missed something. */
export interface GenerationNeed {
  /** Newest generation met where the need arose: one above it is on its way, or has to be made. */
  readonly above: number
  readonly reason: 'redis-emptied' | 'log-gap' | 'unreadable-record' | 'flush-missed' | 'generation-behind'
  readonly edge: boolean
}

/** Pause between two equal requests: long against a raise (tens of ms), short against `maxStaleness`. */
const RESEND_MS = 1_000

/**
 * Asks the connector for generations. The need is found again with every batch until the flush arrives, and batches
 * arrive as long as the connector lives (its watermarks), so asking needs no timer and survives any crash.
 */
export class GenerationRequests {
  readonly #log: Pick<EventLog, 'produce'>
  readonly #time: TimeSource
  readonly #sent = new Map<string, number>()

  constructor(log: Pick<EventLog, 'produce'>, time: TimeSource) {
    this.#log = log
    this.#time = time
  }

  /** Sends the request unless an equal one is younger than a second; resolves to whether it was sent. */
  async ask(need: GenerationNeed): Promise<boolean> {
    const key = `${need.above}:${need.reason}`
    const now = this.#time.nowMs()
    const last = this.#sent.get(key)
    if (last !== undefined && now - last < RESEND_MS) return false
    for (const [other, at] of this.#sent) if (now - at >= RESEND_MS) this.#sent.delete(other)
    this.#sent.set(key, now)
    try {
      await this.#log.produce(TOPICS.control, [
        { key: null, value: encodeControl({ kind: 'new-generation', ...need }) },
      ])
    } catch (error) {
      this.#sent.delete(key)
      throw error
    }
    return true
  }
}
