import { randomUUID } from 'node:crypto'
import type { EventLog, Logger, TimeSource } from '@lockstep/runtime'
import type { Lsn, RuleSet } from '@lockstep/schemas'
import type { ConnectorConfig } from './config.ts'
import type { Control, GenerationRequest } from './control.ts'
import { fail } from './errors.ts'
import { announce } from './generation.ts'
import { Liveness } from './liveness.ts'
import type { ConnectorMetrics } from './metrics.ts'
import type { ReplicationStream, Snapshots, Source, SourceConnection } from './ports.ts'
import { begin, prepareSource } from './prepare.ts'
import type { Beginning, PreparedSource, PrepareOptions } from './prepare.ts'
import type { Publisher } from './publisher.ts'
import { SnapshotPump } from './pump.ts'
import { Session } from './session.ts'

export interface RunSessionOptions {
  readonly config: ConnectorConfig
  readonly rules: RuleSet
  readonly log: EventLog
  readonly partitions: number
  readonly source: Source
  readonly publisher: Publisher
  readonly control: Control
  readonly time: TimeSource
  readonly metrics: ConnectorMetrics
  readonly logger: Logger
  readonly isLogEmpty: boolean
  /** Ends the session. */
  readonly signal: AbortSignal
  readonly onOpen: (handle: SessionHandle) => void
  readonly unsafe?: { readonly noGate?: boolean | undefined } | undefined
}

/** What the process may do with a running session. */
export interface SessionHandle {
  readonly session: Session
  /** WAL between the newest snapshot and what is acknowledged. */
  lagBytes(): number
  /** Begins a generation above the requested one; requests while one is being raised are dropped. */
  raise(request: GenerationRequest): void
}

/**
 * Connects, prepares, streams until something breaks, and closes everything. Resolves with what ended it; rejects when
 * the stream was never opened.
 */
export async function runSession(options: RunSessionOptions): Promise<unknown> {
  const { source, signal } = options
  const connection = await source.connect()
  let snapshots: Snapshots | undefined
  const close = () => Promise.allSettled([connection.close(), snapshots?.close()])
  // A query of the preparation may wait for other transactions: only closing the connection ends it.
  const onAbort = (): void => void close()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    snapshots = await source.openSnapshots()
    const preparing: PrepareOptions = { ...options, connection, snapshots }
    const prepared = await prepareSource(preparing)
    const opened: Opened = { connection, snapshots, prepared }
    let running: Running | undefined
    const stream = await source.openStream(prepared.identity, async () => {
      const beginning = await begin(prepared, preparing)
      running = new Running(options, opened, { ...prepared, ...beginning })
      return running.session
    })
    signal.removeEventListener('abort', onAbort)
    if (running === undefined) throw fail('LOCKSTEP_CON_STREAM', { reason: 'it began before its session' })
    return await (running as Running).run(stream)
  } finally {
    signal.removeEventListener('abort', onAbort)
    await close()
  }
}

interface Opened {
  readonly connection: SourceConnection
  readonly snapshots: Snapshots
  readonly prepared: PreparedSource
}

// Bounds how long a changed publication goes unnoticed, and with it changes that watermarks vouch for unseen: far below the
// default contract of 5 s. One catalog query each.
const PUBLICATION_CHECK_MS = 1_000

/** One open session: the first failure of any part ends all of it. */
class Running implements SessionHandle {
  readonly session: Session
  readonly #options: RunSessionOptions
  readonly #opened: Opened
  readonly #end = new AbortController()
  readonly #failed = Promise.withResolvers<unknown>()
  readonly #pump: SnapshotPump
  readonly #liveness: Liveness
  #newestLsn: Lsn
  #isRaising = false

  constructor(options: RunSessionOptions, opened: Opened, beginning: PreparedSource & Beginning) {
    const { config, time, metrics, control } = options
    const { snapshots, connection } = opened
    this.#options = options
    this.#opened = opened
    this.#newestLsn = beginning.first.lsn
    const onError = (error: unknown): void => this.#fail(error)
    this.session = new Session({
      ...options,
      ...beginning,
      limits: config,
      wake: () => this.#pump.wake(),
      onMessage: (prefix, content) => this.#liveness.message(prefix, content),
    })
    const emit = (content: string) => connection.admin.emit(content)
    this.#liveness = new Liveness({ session: this.session, emit, time, newId: randomUUID, metrics, onError })
    this.#pump = new SnapshotPump({
      snapshots,
      gate: this.session.gate,
      time,
      heartbeatMs: config.heartbeatMs,
      lingerMs: config.lingerMs,
      signal: this.#end.signal,
      onError,
      echo: () => control.echo,
      onReading: (reading, echo, isBeat) => {
        this.#newestLsn = reading.lsn
        if (isBeat) this.session.offer(reading, echo)
      },
      onBeat: () => {
        this.#liveness.beat()
        metrics.confirmedLag.set(this.lagBytes())
      },
    })
  }

  /** Resolves with what ended the stream, after everything of it has stopped. */
  async run(stream: ReplicationStream): Promise<unknown> {
    const { signal, onOpen } = this.#options
    const stopped = (): void => this.#fail(signal.reason)
    signal.addEventListener('abort', stopped, { once: true })
    if (signal.aborted) stopped()
    void stream.ended.then((error) => this.#fail(error))
    try {
      this.session.attach(stream)
      this.#liveness.attach(stream)
      onOpen(this)
      void this.#pump.run()
      void this.#watchPublication()
      const error = await this.#failed.promise
      stream.confirm(this.session.transactions.confirmed, false)
      return error
    } finally {
      this.#end.abort(fail('LOCKSTEP_CON_STOPPED'))
      await stream.stop()
      signal.removeEventListener('abort', stopped)
    }
  }

  lagBytes(): number {
    return Math.max(0, Number(this.#newestLsn - this.session.transactions.confirmed))
  }

  raise(request: GenerationRequest): void {
    if (this.#isRaising) return
    this.#isRaising = true
    this.session
      .raise(() => this.#raiseDurably(request))
      .then(() => (this.#isRaising = false))
      .catch((error: unknown) => this.#fail(error))
  }

  async #raiseDurably({ above, reason, edge }: GenerationRequest): Promise<number> {
    const { config, log, partitions, time, metrics, logger } = this.#options
    const { connection, prepared } = this.#opened
    const store = connection.epochs
    const { generation } = await store.raise({
      ...prepared.identity,
      publication: prepared.publication,
      slot: config.slot,
      above,
      step: 1,
    })
    metrics.raises.inc({ reason: 'requested' })
    metrics.epoch.set(generation)
    logger.info({ generation, reason }, 'new generation')
    const onRejected = (error: unknown): void => logger.warn({ err: error }, 'the log refuses the flush')
    const signal = this.#end.signal
    this.#options.control.forgetEcho()
    await announce(generation, { reason, edge }, { log, partitions, store, time, signal, onRejected })
    return generation
  }

  /** A server of PG 18 skips rows of a missing publication without a word: the catalog alone tells. */
  async #watchPublication(): Promise<void> {
    const { connection, prepared } = this.#opened
    const { time } = this.#options
    try {
      while (!this.#end.signal.aborted) {
        await time.sleep(PUBLICATION_CHECK_MS, this.#end.signal)
        const print = await connection.catalog.publicationPrint()
        if (print !== prepared.publication) this.#fail(fail('LOCKSTEP_CON_PUBLICATION'))
      }
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    this.#failed.resolve(error)
  }
}
