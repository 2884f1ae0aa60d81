import {
  backoff,
  dispositionOf,
  type EventLog,
  type LogBatch,
  type Logger,
  type ReceivedRecord,
  type RecordHeaders,
  type TimeSource,
} from '@lockstep/runtime'
import { SHOP_TOPICS } from '../shop-topics.ts'
import { bury } from '../worker/dead-letters.ts'
import { recordFields } from '../worker/record-fields.ts'
import type { Order } from './orders.ts'

/** What a worker does with an order. Each may be repeated. */
export interface OrderDesk {
  /** Null where there is no such order. */
  decide(id: string): Promise<Order | null>
  giveUp(id: string, reason: string): Promise<void>
}

/** What working off orders needs. */
export interface OrderQueueDeps {
  readonly desk: OrderDesk
  readonly log: Pick<EventLog, 'produce'>
  readonly time: TimeSource
  /** 0 ≤ x < 1; jitters the pauses. */
  readonly random: () => number
  readonly decided: (outcome: 'confirmed' | 'rejected' | 'failed') => void
  /** `about`: what the log says of the record. */
  readonly retried: (error: unknown, about: object) => void
  readonly buried: (code: string, about: object) => void
  readonly logger: Pick<Logger, 'debug'>
}

/** One record that is worked on. */
interface Work {
  readonly batch: LogBatch
  readonly record: ReceivedRecord
  readonly about: object
  readonly signal: AbortSignal
}

/** Attempts at an order whose own fault it may be; a database that is away is waited for instead. */
export const MAX_ATTEMPTS = 5
/** Each pause is drawn below a ceiling that doubles, so that workers that failed together do not try together. */
export const RETRY = { initialMs: 100, maxMs: 10_000 } as const

const ORDER_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Sends an order to the queue. One order's records keep their order. */
export function sendOrders(
  log: Pick<EventLog, 'produce'>,
  ids: readonly string[],
  headers?: RecordHeaders,
): Promise<void> {
  if (ids.length === 0) return Promise.resolve()
  return log.produce(
    SHOP_TOPICS.orders,
    ids.map((id) => ({ key: id, value: Buffer.from(id), headers })),
  )
}

/**
 * Works off orders in the order of their partition. One that fails is tried again after growing, jittered pauses; one that
 * goes on failing is marked and put aside with its reason, and the queue goes on.
 */
export class OrderQueue {
  readonly #deps: OrderQueueDeps

  constructor(deps: OrderQueueDeps) {
    this.#deps = deps
  }

  /** Handles one batch; commits it when every order of it is decided or put aside. */
  async handle(batch: LogBatch, signal: AbortSignal): Promise<void> {
    for (const record of batch.records)
      await this.#handleOne({ batch, record, about: recordFields(batch, record), signal })
    batch.commit()
  }

  async #handleOne(work: Work): Promise<void> {
    const { desk, decided, logger } = this.#deps
    const id = work.record.value.toString()
    if (!ORDER_ID.test(id)) return this.#bury(work, 'LOCKSTEP_API_ORDER_UNREADABLE', 'the record is no order id')
    const pauses = backoff({ ...RETRY, random: this.#deps.random })
    for (let attempt = 1; ;) {
      work.signal.throwIfAborted()
      try {
        const order = await desk.decide(id)
        if (!order) return await this.#bury(work, 'LOCKSTEP_API_UNKNOWN_ORDER', `there is no order ${id}`)
        if (order.state !== 'accepted') decided(order.state)
        return logger.debug({ orderId: id, state: order.state, ...work.about }, 'order decided')
      } catch (error) {
        if (attempt >= MAX_ATTEMPTS) return await this.#giveUp(work, id, error)
        // The order cannot help it that the database is away.
        if (!isUnreachable(error)) attempt += 1
        await this.#pause(work, pauses.nextDelay(), error)
      }
    }
  }

  async #giveUp(work: Work, id: string, error: unknown): Promise<void> {
    const { desk, decided, random } = this.#deps
    const { code = 'LOCKSTEP_API_ORDER_FAILED', message } = error as Error & { code?: string }
    await this.#bury(work, code.startsWith('LOCKSTEP_') ? code : 'LOCKSTEP_API_ORDER_FAILED', message)
    const pauses = backoff({ ...RETRY, random })
    for (;;) {
      try {
        await desk.giveUp(id, message)
        return decided('failed')
      } catch (failure) {
        await this.#pause(work, pauses.nextDelay(), failure)
      }
    }
  }

  async #bury({ batch, record, about }: Work, code: string, message: string): Promise<void> {
    await bury(this.#deps.log, batch, [{ record, code, message }])
    this.#deps.buried(code, about)
  }

  async #pause({ about, signal }: Work, ms: number, error: unknown): Promise<void> {
    if (dispositionOf(error) === 'aborted') throw error
    this.#deps.retried(error, about)
    await this.#deps.time.sleep(ms, signal)
  }
}

function isUnreachable(error: unknown): boolean {
  return (error as { code?: unknown }).code === 'LOCKSTEP_API_DATABASE_UNREACHABLE'
}
