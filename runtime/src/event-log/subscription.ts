import type { BatchHandler, LogBatch, Subscription } from '../event-log.ts'

/** Runs one consumer's handlers and settles its `closed` exactly once. */
export class HandlerRun {
  readonly closed: Promise<void>
  readonly #abort = new AbortController()
  #running = 0
  #whenIdle: (() => void)[] = []
  readonly #onBatch: BatchHandler
  readonly #settle: { resolve: () => void; reject: (reason: unknown) => void }
  #failure: { readonly reason: unknown } | undefined
  #ending = false

  constructor(onBatch: BatchHandler) {
    this.#onBatch = onBatch
    const settle = { resolve: (): void => undefined, reject: (_reason: unknown): void => undefined }
    this.closed = new Promise((resolve, reject) => Object.assign(settle, { resolve, reject }))
    this.#settle = settle
    // The owner may look at `closed` only when it stops: a failure must not end the process before that.
    this.closed.catch(() => undefined)
  }

  get isEnding(): boolean {
    return this.#ending
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Runs the handler; never rejects: a rejection is remembered and answered as false. */
  async handle(batch: LogBatch): Promise<boolean> {
    this.#running += 1
    try {
      await this.#onBatch(batch, this.#abort.signal)
      return true
    } catch (reason) {
      this.fail(reason)
      return false
    } finally {
      this.#running -= 1
      if (this.#running === 0) for (const wake of this.#whenIdle.splice(0)) wake()
    }
  }

  /** Ends intake because of `reason`; the first reason wins, and one that comes while stopping is kept too. */
  fail(reason: unknown): void {
    this.#failure ??= { reason }
    this.end()
  }

  /** Ends intake and tells running handlers. */
  end(): void {
    this.#ending = true
    this.#abort.abort()
  }

  /** Resolves when no handler runs. */
  idle(): Promise<void> {
    return this.#running === 0 ? Promise.resolve() : new Promise((resolve) => this.#whenIdle.push(resolve))
  }

  /** Settles `closed` by what happened. */
  settle(): void {
    if (this.#failure === undefined) this.#settle.resolve()
    else this.#settle.reject(this.#failure.reason)
  }
}

/** Makes a subscription of a run and the adapter's way to let go of it, which is called once. */
export function subscriptionOf(run: HandlerRun, leave: () => Promise<void>): Subscription {
  let ended: Promise<void> | undefined
  const stop = (): Promise<void> => {
    ended ??= (async () => {
      run.end()
      await run.idle()
      try {
        await leave()
      } catch (reason) {
        run.fail(reason)
      }
      run.settle()
    })()
    return ended
  }
  run.signal.addEventListener('abort', () => void stop(), { once: true })
  return { closed: run.closed, stop }
}
