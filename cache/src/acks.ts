import type { BusReader } from './store.ts'
import type { CacheClock } from './types.ts'

/** Least time between two acks, ms: a purge waits for them, Redis pays for those of all processes. */
const LEAST_INTERVAL_MS = { perProcess: 0.5, from: 1, to: 5 }
/** A process that is alive says so at least this often, ms. */
const LONGEST_INTERVAL_MS = 100

/** Tells the purger how far this process has applied the bus. */
export class Acks {
  readonly #bus: Pick<BusReader, 'ack' | 'withdraw'>
  readonly #processId: string
  readonly #clock: CacheClock
  readonly #failed: (error: unknown) => void
  readonly #stopping = new AbortController()
  #position: string | null = null
  #processes = 1
  #ackedAt = 0
  #beating: Promise<void> | null = null
  #acking: Promise<void> | null = null

  constructor(options: {
    readonly bus: Pick<BusReader, 'ack' | 'withdraw'>
    readonly processId: string
    readonly clock: CacheClock
    readonly failed: (error: unknown) => void
  }) {
    this.#bus = options.bus
    this.#processId = options.processId
    this.#clock = options.clock
    this.#failed = options.failed
  }

  start(): void {
    this.#beating = this.#beat()
    if (this.#position !== null) this.#acking ??= this.#ackAll()
  }

  /** Everything up to this entry is applied in this process. */
  applied(position: string): void {
    this.#position = position
    if (this.#beating !== null && !this.#isStopping) this.#acking ??= this.#ackAll()
  }

  /** Withdraws the process, so that no purge waits for it. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#beating
    await this.#acking
    // Never acknowledged: nobody waits for it, and Redis may not even be connected.
    if (this.#position === null) return
    await this.#bus.withdraw(this.#processId).catch(this.#failed)
  }

  get #isStopping(): boolean {
    return this.#stopping.signal.aborted
  }

  async #beat(): Promise<void> {
    for (;;) {
      await this.#clock.sleep(LONGEST_INTERVAL_MS / 2, this.#stopping.signal)
      if (this.#isStopping) return
      const isQuiet = this.#clock.now() - this.#ackedAt > LONGEST_INTERVAL_MS / 2
      if (isQuiet && this.#position !== null) this.#acking ??= this.#ackAll()
    }
  }

  /** Acknowledges until nothing newer was applied meanwhile. */
  async #ackAll(): Promise<void> {
    const { perProcess, from, to } = LEAST_INTERVAL_MS
    let acknowledged: string | null = null
    // What came by the same read is applied first.
    await Promise.resolve()
    while (this.#position !== null && this.#position !== acknowledged && !this.#isStopping) {
      acknowledged = this.#position
      this.#ackedAt = this.#clock.now()
      await this.#ack(acknowledged)
      if (!this.#isStopping) await this.#clock.sleep(Math.min(to, Math.max(from, this.#processes * perProcess)))
    }
    this.#acking = null
  }

  async #ack(position: string): Promise<void> {
    try {
      this.#processes = await this.#bus.ack(this.#processId, position)
    } catch (error) {
      this.#failed(error)
    }
  }
}
