import { randomUUID } from 'node:crypto'
import type { EventLog, Logger, TimeSource } from '@lockstep/runtime'
import type { Lsn, RuleSet } from '@lockstep/schemas'
import type { ConnectorConfig } from './config.ts'
import { Confirmation } from './confirmation.ts'
import type { Control, GenerationRequest } from './control.ts'
import { fail } from './errors.ts'
import { announce } from './generation.ts'
import { Guardian } from './guardian.ts'
import { waitForLead } from './leadership.ts'
import { Liveness } from './liveness.ts'
import type { ConnectorMetrics } from './metrics.ts'
import type { ReplicationStream, Snapshots, Source, SourceConnection, StreamHandler, UnsafeSwitches } from './ports.ts'
import { begin, checkedFacts, prepareSource } from './prepare.ts'
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
  /** Called when another connector leads and everything is ready to follow it. */
  readonly onStandby: () => void
  readonly onOpen: (handle: SessionHandle) => void
  readonly unsafe?: UnsafeSwitches | undefined
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
 * Connects, waits for the lead, prepares, streams until something breaks, and closes everything, the lead last. Resolves
 * with what ended it; rejects when the stream was never opened.
 */
export async function runSession(options: RunSessionOptions): Promise<unknown> {
  const { source, signal } = options
  const connection = await source.connect()
  let snapshots: Snapshots | undefined
  const close = () => Promise.allSettled([connection.link.close(), snapshots?.close()])
  // A query of the preparation may wait for other transactions: only closing the connection ends it.
  const onAbort = (): void => void close()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    await lead(connection, options)
    snapshots = await source.openSnapshots()
    const preparing: PrepareOptions = { ...options, connection, snapshots }
    const prepared = await prepareSource(preparing)
    const opened: Opened = { connection, snapshots, prepared }
    let running: Running | undefined
    const stream = await source.openStream(prepared.identity, async () => {
      const beginning = await begin(prepared, preparing)
      running = new Running(options, opened, { ...prepared, ...beginning })
      return running.handler
    })
    signal.removeEventListener('abort', onAbort)
    if (running === undefined) throw fail('LOCKSTEP_CON_STREAM', { reason: 'it began before its session' })
    return await (running as Running).run(stream)
  } finally {
    signal.removeEventListener('abort', onAbort)
    await close()
  }
}

/** Resolves once this session leads. Temporary slots exclude nobody: each process has its own slot and its own log. */
async function lead(connection: SourceConnection, options: RunSessionOptions): Promise<void> {
  const { config, metrics, logger, onStandby, time, signal } = options
  if (!config.temporarySlot) {
    const { link } = connection
    await waitForLead({
      link,
      time,
      signal,
      async onStandby() {
        await checkedFacts({ ...options, connection })
        logger.info({}, 'another connector leads, standing by')
        onStandby()
      },
    })
  }
  metrics.leader.set(1)
}

interface Opened {
  readonly connection: SourceConnection
  readonly snapshots: Snapshots
  readonly prepared: PreparedSource
}

// Bounds how long a changed publication goes unnoticed, and with it changes that watermarks vouch for unseen: far below the
// default contract of 5 s. Two catalog queries each.
const GUARD_EVERY_MS = 1_000
// A last note is worth a moment; without it the next session only receives more again.
const SETTLE_LIMIT_MS = 1_000

/** One open session: the first failure of any part ends all of it. */
class Running implements SessionHandle {
  readonly session: Session
  /** Feeds the session until it has failed. */
  readonly handler: StreamHandler
  readonly #options: RunSessionOptions
  readonly #opened: Opened
  readonly #end = new AbortController()
  readonly #failed = Promise.withResolvers<unknown>()
  readonly #pump: SnapshotPump
  readonly #liveness: Liveness
  readonly #guardian: Guardian
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
    this.handler = {
      onMessage: (bytes, start, end) => {
        if (!this.#end.signal.aborted) this.session.onMessage(bytes, start, end)
      },
      onKeepalive: (walEnd) => {
        if (!this.#end.signal.aborted) this.session.onKeepalive(walEnd)
      },
    }
    const { publication } = beginning
    this.#guardian = new Guardian({ ...options, catalog: connection.catalog, publication, slot: config.slot })
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
  async run(opened: ReplicationStream): Promise<unknown> {
    const { signal, onOpen, publisher } = this.#options
    const stream = this.#bounded(opened)
    const stopped = (): void => this.#fail(signal.reason)
    signal.addEventListener('abort', stopped, { once: true })
    if (signal.aborted) stopped()
    void stream.ended.then((error) => this.#fail(error))
    void this.#opened.connection.link.lost.then((error) => this.#fail(error))
    try {
      this.session.attach(stream)
      this.#liveness.attach(stream)
      onOpen(this)
      void this.#pump.run()
      void this.#guard()
      const error = await this.#failed.promise
      // Before slot and lead are let go: no record of ours may follow the first one of another leader.
      await publisher.abandon()
      stream.confirm(this.session.transactions.confirmed, false)
      await this.#settle(stream)
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
      isGap: false,
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
  async #guard(): Promise<void> {
    const { time } = this.#options
    const { signal } = this.#end
    try {
      while (!signal.aborted) {
        await time.sleep(GUARD_EVERY_MS, signal)
        await this.#guardian.look(signal)
      }
    } catch (error) {
      this.#fail(error)
    }
  }

  /** A temporary slot ends with its stream: nobody can meet it again. */
  #bounded(stream: ReplicationStream): ReplicationStream | Confirmation {
    const { config, time } = this.#options
    const { connection, prepared } = this.#opened
    if (config.temporarySlot) return stream
    const onError = (error: unknown): void => this.#fail(error)
    const received = (): number => this.session.transactions.total
    const { confirmable } = prepared
    return new Confirmation({ stream, epochs: connection.epochs, time, confirmable, received, onError })
  }

  async #settle(stream: ReplicationStream | Confirmation): Promise<void> {
    if (!(stream instanceof Confirmation)) return
    const settled = new AbortController()
    const late = this.#options.time.sleep(SETTLE_LIMIT_MS, settled.signal).catch(() => undefined)
    await Promise.race([stream.settle().catch(() => undefined), late])
    settled.abort()
  }

  /** Everything stops publishing at once; what is on its way is awaited by `run`. */
  #fail(error: unknown): void {
    this.#end.abort(error)
    this.session.watermarks.clear()
    this.#failed.resolve(error)
  }
}
