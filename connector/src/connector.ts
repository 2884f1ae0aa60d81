import { backoff, dispositionOf, LockstepError, noMetrics, silentLogger, systemTime, TOPICS } from '@lockstep/runtime'
import type { EventLog, LatencyRecorder, Logger, MetricsRegistry, Subscription, TimeSource } from '@lockstep/runtime'
import { formatLsn, ZERO_LSN } from '@lockstep/schemas'
import type { RuleSet } from '@lockstep/schemas'
import type { ConnectorConfig } from './config.ts'
import { Control } from './control.ts'
import type { GenerationRequest } from './control.ts'
import { fail } from './errors.ts'
import { createConnectorMetrics } from './metrics.ts'
import type { ConnectorMetrics } from './metrics.ts'
import type { Source, UnsafeSwitches } from './ports.ts'
import { Publisher } from './publisher.ts'
import { runSession } from './run-session.ts'
import type { SessionHandle } from './run-session.ts'

/** What the connector is made of. */
export interface ConnectorDeps {
  readonly config: ConnectorConfig
  readonly rules: RuleSet
  readonly log: EventLog
  readonly source: Source
  /** True when the log does not outlive the process: every start then begins a generation. */
  readonly memoryLog: boolean
  readonly metrics?: MetricsRegistry | undefined
  readonly logger?: Logger | undefined
  readonly time?: TimeSource | undefined
  /** 0 ≤ x < 1, for jitter. */
  readonly random?: (() => number) | undefined
  readonly unsafe?: UnsafeSwitches | undefined
}

/** Where the connector stands. */
export interface ConnectorStatus {
  readonly phase: 'starting' | 'standby' | 'running' | 'reconnecting' | 'stopped'
  readonly generation: number
  readonly slot: string
  /** Position acknowledged to Postgres, `X/Y`. */
  readonly confirmedLsn: string
  /** WAL between the newest snapshot and what is acknowledged. */
  readonly lagBytes: number
  /** Transactions received and not acknowledged by the log. */
  readonly outstanding: number
  /** Transactions held at the visibility gate. */
  readonly waiting: number
  /** null before the first watermark of a session. */
  readonly lastWatermarkAgeMs: number | null
  /** Why the last session ended; '' when none has. */
  readonly lastFault: string
}

export interface Connector {
  /** Resolves once the first stream is open, or another connector leads and this one is ready to follow it. Rejects with config errors only; everything else is tried again. */
  start(): Promise<void>
  /** Ends the stream; resolves when no record can follow. Idempotent. */
  stop(): Promise<void>
  status(): ConnectorStatus
  /** Settles when the connector has ended: resolves after `stop`, rejects with what no new attempt can mend. */
  readonly closed: Promise<void>
  readonly commitToProduced: LatencyRecorder
}

const RECONNECT = { initialMs: 100, maxMs: 10_000 }
// A session that lasted this long was sound: the next fault starts with a short pause again.
const SOUND_MS = 30_000
// Leaves a process that has 25 s to stop some time for the rest.
const STOP_DEADLINE_MS = 10_000

/** Composes a connector over its ports; nothing runs before `start`. */
export function createConnector(deps: ConnectorDeps): Connector {
  return new SupervisedConnector(deps)
}

class SupervisedConnector implements Connector {
  readonly #deps: ConnectorDeps
  readonly #metrics: ConnectorMetrics
  readonly #logger: Logger
  readonly #time: TimeSource
  readonly #random: () => number
  readonly #publisher: Publisher
  readonly #control: Control
  readonly #stop = new AbortController()
  #subscription: Subscription | undefined
  #session: SessionHandle | undefined
  #running: Promise<void> | undefined
  readonly #closed = Promise.withResolvers<void>()
  #phase: ConnectorStatus['phase'] = 'starting'
  #generation = 0
  #lastFault = ''
  #hasAnnounced = false

  constructor(deps: ConnectorDeps) {
    const { metrics = noMetrics, logger = silentLogger, time = systemTime, random = Math.random, log } = deps
    this.#deps = deps
    this.#metrics = createConnectorMetrics(metrics)
    this.#logger = logger.child({ stage: 'connector' })
    this.#time = time
    this.#random = random
    this.#control = new Control((request) => this.#request(request), this.#logger)
    this.#publisher = new Publisher({
      log,
      time,
      random,
      events: {
        produced: (topic, records) => this.#metrics.produced.inc({ topic }, records),
        rejected: (topic, error) => {
          this.#metrics.rejected.inc({ kind: topic })
          this.#logger.warn({ err: error, topic }, 'the log refuses records, trying again')
        },
      },
      onBytes: (bytes) => {
        this.#metrics.buffered.set(bytes)
        this.#session?.session.balance(bytes)
      },
    })
  }

  get closed(): Promise<void> {
    return this.#closed.promise
  }

  get commitToProduced(): LatencyRecorder {
    return this.#metrics.commitToProduced
  }

  async start(): Promise<void> {
    this.#subscription = await this.#control.listen(this.#deps.log)
    const opened = Promise.withResolvers<void>()
    this.#running = this.#supervise(opened)
    this.#running.then(this.#closed.resolve, this.#closed.reject)
    await opened.promise
  }

  async stop(): Promise<void> {
    if (!this.#stop.signal.aborted) this.#stop.abort(fail('LOCKSTEP_CON_STOPPED'))
    // A log that answers nothing must not hold up a shutdown: what it does later is repeated by the next start.
    const deadline = new AbortController()
    const late = this.#time.sleep(STOP_DEADLINE_MS, deadline.signal).catch(() => undefined)
    await Promise.race([this.#running?.catch(() => undefined), late])
    deadline.abort()
    await this.#subscription?.stop()
    this.#phase = 'stopped'
    this.#closed.resolve()
  }

  status(): ConnectorStatus {
    const session = this.#session?.session
    const confirmed = session?.transactions.confirmed ?? ZERO_LSN
    return {
      phase: this.#phase,
      generation: session?.generation ?? this.#generation,
      slot: this.#deps.config.slot,
      confirmedLsn: formatLsn(confirmed),
      lagBytes: this.#session?.lagBytes() ?? 0,
      outstanding: session?.transactions.outstanding ?? 0,
      waiting: session?.gate.waiting ?? 0,
      lastWatermarkAgeMs: session?.watermarkAgeMs ?? null,
      lastFault: this.#lastFault,
    }
  }

  /** Runs one session after the other. A config error ends it only before the first one has opened. */
  async #supervise(opened: PromiseWithResolvers<void>): Promise<void> {
    const delays = backoff({ ...RECONNECT, random: this.#random })
    const { signal } = this.#stop
    let hasOpened = false
    while (!signal.aborted) {
      const startedMs = this.#time.nowMs()
      const error = await this.#runOnce((phase) => {
        this.#phase = phase
        hasOpened = true
        opened.resolve()
      })
      if (signal.aborted) break
      if (!hasOpened && dispositionOf(error) === 'config') {
        this.#phase = 'stopped'
        opened.reject(error)
        return
      }
      this.#noteFault(error)
      if (this.#time.nowMs() - startedMs > SOUND_MS) delays.reset()
      await this.#time.sleep(delays.nextDelay(), signal).catch(() => undefined)
    }
    this.#phase = 'stopped'
    opened.reject(signal.reason)
  }

  async #runOnce(onReady: (phase: 'standby' | 'running') => void): Promise<unknown> {
    const { log, memoryLog } = this.#deps
    try {
      const partitions = await log.partitionCount(TOPICS.changes)
      return await runSession({
        ...this.#deps,
        partitions,
        publisher: this.#publisher,
        control: this.#control,
        time: this.#time,
        metrics: this.#metrics,
        logger: this.#logger,
        signal: this.#stop.signal,
        isLogEmpty: memoryLog && !this.#hasAnnounced,
        onStandby: () => onReady('standby'),
        onOpen: (handle) => {
          this.#session = handle
          this.#generation = handle.session.generation
          this.#hasAnnounced = true
          this.#metrics.connected.set(1)
          onReady('running')
        },
      })
    } catch (error) {
      return error
    } finally {
      this.#generation = this.#session?.session.generation ?? this.#generation
      this.#session = undefined
      this.#metrics.connected.set(0)
      this.#metrics.leader.set(0)
      // Nothing of this session may reach the log after the next one's flush.
      await this.#publisher.abandon()
    }
  }

  #noteFault(error: unknown): void {
    this.#phase = 'reconnecting'
    this.#lastFault = error instanceof Error ? error.message : String(error)
    const reason = error instanceof LockstepError ? error.code : 'other'
    this.#metrics.reconnects.inc({ reason })
    this.#logger.warn({ err: error }, 'the session ended, connecting again')
  }

  #request(request: GenerationRequest): void {
    if (this.#session === undefined || request.above < this.#session.session.generation) return
    this.#session.raise(request)
  }
}
