import type { EventLog, TimeSource } from '@lockstep/runtime'
import type { Sql } from '../database.ts'
import { sendOrders } from './order-queue.ts'
import { waitingOrders } from './orders.ts'

/** What a relay needs. */
export interface OrderRelayDeps {
  readonly database: Sql
  readonly log: Pick<EventLog, 'produce'>
  readonly time: TimeSource
  readonly relayed: (count: number) => void
  readonly failed: (error: unknown) => void
}

const EVERY_MS = 1_000
/** Far longer than a healthy queue takes, so that hardly anything is sent twice; sending twice is harmless. */
const WAITED_SECONDS = 5
const AT_ONCE = 500

/**
 * Sends again what was accepted and has waited too long: the process that accepted it may have died between its commit and
 * the log. So the table is the outbox, and the queue may lose anything.
 */
export class OrderRelay {
  readonly #deps: OrderRelayDeps
  readonly #stopping = new AbortController()
  #running: Promise<void> = Promise.resolve()

  constructor(deps: OrderRelayDeps) {
    this.#deps = deps
  }

  start(): void {
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { database, log, time, relayed, failed } = this.#deps
    const { signal } = this.#stopping
    for (;;) {
      // Asleep first: what has waited for seconds may wait for one more, and a process that cannot start asks nobody.
      await time.sleep(EVERY_MS, signal).catch(() => undefined)
      if (signal.aborted) return
      try {
        const ids = await waitingOrders(database, WAITED_SECONDS, AT_ONCE)
        await sendOrders(log, ids)
        if (ids.length > 0) relayed(ids.length)
      } catch (error) {
        failed(error)
      }
    }
  }
}
