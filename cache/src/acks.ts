import type { BusReader } from './store.ts'
import type { CacheClock } from './types.ts'

/** Least time between two acks, ms: a purge waits for them, Redis pays for those of all processes. */
const LEAST_INTERVAL_MS = { perProcess: 0.5, from: 1, to: 5 }
/** A process that is alive says so at least this often, ms. */
const LONGEST_INTERVAL_MS = 100

// One for all: an abort without a reason builds a DOMException with a stack.
const WOKEN = new Error('there is something to acknowledge')

/** Tells the purger how far this process has applied the bus. */
export class Acks {
  readonly #bus: Pick<BusReader, 'ack' | 'withdraw'>
  readonly #processId: string
  readonly #clock: CacheClock
  readonly #failed: (error: unknown) => void
  #position: string | null = null
  #wake = new AbortController()
  #stopped = false
  #running: Promise<void> = Promise.resolve()

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
    this.#running = this.#run()
  }

  /** Everything up to this entry is applied in this process. */
  applied(position: string): void {
    this.#position = position
    this.#wake.abort(WOKEN)
  }

  /** Withdraws the process, so that no purge waits for it. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#wake.abort(WOKEN)
    await this.#running
    // Never acknowledged: nobody waits for it, and Redis may not even be connected.
    if (this.#position === null) return
    await this.#bus.withdraw(this.#processId).catch(this.#failed)
  }

  async #run(): Promise<void> {
    const { perProcess, from, to } = LEAST_INTERVAL_MS
    let processes = 1
    while (!this.#stopped) {
      await this.#clock.sleep(LONGEST_INTERVAL_MS, this.#wake.signal)
      this.#wake = new AbortController()
      if (this.#position !== null && !this.#stopped) processes = await this.#ack(this.#position, processes)
      if (!this.#stopped) await this.#clock.sleep(Math.min(to, Math.max(from, processes * perProcess)))
    }
  }

  async #ack(position: string, processes: number): Promise<number> {
    try {
      return await this.#bus.ack(this.#processId, position)
    } catch (error) {
      this.#failed(error)
      return processes
    }
  }
}
