import { TOPICS } from '@lockstep/runtime'
import type { EventLog, Logger, Subscription } from '@lockstep/runtime'
import { decodeControl } from '@lockstep/schemas'
import type { ControlMessage } from '@lockstep/schemas'

/** A consumer's wish for a generation above one that it knows. */
export type GenerationRequest = Extract<ControlMessage, { kind: 'new-generation' }>

/** Listens to what consumers say: keeps the newest echo and hands on wishes for a generation. */
export class Control {
  #echo = ''
  readonly #onRequest: (request: GenerationRequest) => void
  readonly #logger: Logger

  constructor(onRequest: (request: GenerationRequest) => void, logger: Logger) {
    this.#onRequest = onRequest
    this.#logger = logger
  }

  /** Newest Redis time (µs) that has arrived; '' before the first. */
  get echo(): string {
    return this.#echo
  }

  /**
   * Forgets the newest echo: a generation may begin because Redis was replaced, and the time of another clock, kept
   * while it is ahead, would vouch for what came long after it.
   */
  forgetEcho(): void {
    this.#echo = ''
  }

  /** Reads from the end: consumers repeat what they still need. */
  listen(log: Pick<EventLog, 'consume'>): Promise<Subscription> {
    return log.consume({ topic: TOPICS.control, group: null }, (batch) => {
      for (const { value } of batch.records) this.take(value)
      batch.commit()
      return Promise.resolve()
    })
  }

  take(bytes: Buffer): void {
    let message: ControlMessage
    try {
      message = decodeControl(bytes)
    } catch (error) {
      this.#logger.warn({ err: error }, 'a control message was ignored')
      return
    }
    if (message.kind === 'new-generation') this.#onRequest(message)
    else if (isNewer(message.redisTimeUs, this.#echo)) this.#echo = message.redisTimeUs
  }
}

/** Decimal texts of µs: the longer one is the greater one. */
function isNewer(a: string, b: string): boolean {
  return a.length === b.length ? a > b : a.length > b.length
}
