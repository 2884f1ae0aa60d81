import { dispositionOf, LockstepError } from './errors.ts'
import type { Logger } from './log.ts'

/** Something with a beginning and an end, each called at most once. A signal may stop it while it still starts. */
export interface Component {
  readonly name: string
  start?(): Promise<void> | void
  stop(): Promise<void> | void
}

/** The process as the lifecycle needs it; injected in tests. */
export interface ProcessPort {
  on(
    event: 'SIGTERM' | 'SIGINT' | 'uncaughtException' | 'unhandledRejection',
    listener: (reason?: unknown) => void,
  ): void
  exit(code: number): void
}

export interface LifecycleOptions {
  readonly log: Logger
  readonly process?: ProcessPort | undefined
  /** Longest whole shutdown, ms. Default 25,000: below the 30 s an orchestrator waits. */
  readonly deadlineMs?: number | undefined
}

const DEADLINE_MS = 25_000
// sysexits.h: EX_CONFIG.
const EXIT_CONFIG = 78
const SIGNAL_EXIT = { SIGINT: 130, SIGTERM: 143 } as const

const realProcess: ProcessPort = {
  on: (event, listener) => void process.on(event, listener),
  exit: (code) => process.exit(code),
}

/** The exit code of a failure: 78 for configuration, 1 for the rest. */
export function exitCodeOf(error: unknown): number {
  return dispositionOf(error) === 'config' ? EXIT_CONFIG : 1
}

/** Starts components in order, stops them in reverse; the only place that listens to signals and exits. */
export class Lifecycle {
  readonly #components: Component[] = []
  readonly #started: Component[] = []
  readonly #log: Logger
  readonly #process: ProcessPort
  readonly #deadlineMs: number
  readonly #finished = Promise.withResolvers<void>()
  #stopping: Promise<boolean> | undefined
  #exitCode = 0
  #signals = 0

  constructor({ log, process: port = realProcess, deadlineMs = DEADLINE_MS }: LifecycleOptions) {
    this.#log = log
    this.#process = port
    this.#deadlineMs = deadlineMs
  }

  add(component: Component): void {
    this.#components.push(component)
  }

  /** True from the first stop on: readiness turns false before anything is drained. */
  get draining(): boolean {
    return this.#stopping !== undefined
  }

  /** Starts everything in order; when one start fails, what has started is stopped again and the error is thrown. */
  async start(): Promise<void> {
    try {
      await this.#startEach()
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /** Stops in reverse order. One failing stop never blocks the rest. Resolves to false when one failed or time ran out. */
  stop(): Promise<boolean> {
    this.#stopping ??= this.#stopAll().finally(() => this.#finished.resolve())
    return this.#stopping
  }

  /** Starts, waits for a signal or `fail`, stops and exits: 0, 1, 78 (configuration), 130/143 (second signal). */
  async run(): Promise<void> {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) this.#process.on(signal, () => this.#onSignal(signal))
    const onCrash = (reason: unknown) => {
      this.#log.error({ err: reason }, 'unexpected failure')
      this.#exitCode ||= 1
      void this.stop()
    }
    this.#process.on('uncaughtException', onCrash)
    this.#process.on('unhandledRejection', onCrash)
    // Not awaited: a start that hangs must not keep a signal from ending the process.
    this.#startEach().catch((error: unknown) => {
      // What a start meets while everything is being stopped is a consequence of the stop, not a failure.
      if (!this.draining) this.fail(error)
    })
    await this.#finished.promise
    const clean = await this.stop()
    this.#process.exit(this.#exitCode === 0 && !clean ? 1 : this.#exitCode)
  }

  /** Ends `run` because a component failed: everything is stopped and the exit code is not 0. The first failure decides it. */
  fail(error: unknown): void {
    this.#logFailure(error)
    this.#exitCode ||= exitCodeOf(error)
    void this.stop()
  }

  async #startEach(): Promise<void> {
    for (const component of this.#components) {
      if (this.draining) return
      // Noted before it starts: a start that failed half-way has something to stop.
      this.#started.push(component)
      await component.start?.()
    }
  }

  #logFailure(error: unknown): void {
    const expected = error instanceof LockstepError
    this.#log.error(
      expected ? { code: error.code, ...error.context } : { err: error },
      expected ? error.message : 'failed',
    )
  }

  #onSignal(signal: 'SIGINT' | 'SIGTERM'): void {
    // Signals are counted: the first one during a drain that a failure began must not cut it short.
    this.#signals += 1
    if (this.#signals > 1) this.#process.exit(SIGNAL_EXIT[signal])
    else void this.stop()
  }

  async #stopAll(): Promise<boolean> {
    // Yields once, so that `draining` is true before the first component stops.
    await Promise.resolve()
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => {
        this.#log.error({ deadlineMs: this.#deadlineMs }, 'shutdown took too long')
        resolve(false)
      }, this.#deadlineMs)
    })
    const clean = await Promise.race([this.#stopEach(), deadline])
    clearTimeout(timer)
    return clean
  }

  async #stopEach(): Promise<boolean> {
    let clean = true
    for (const component of this.#started.toReversed()) {
      try {
        await component.stop()
      } catch (error) {
        clean = false
        this.#log.error({ err: error, component: component.name }, 'stop failed')
      }
    }
    return clean
  }
}
