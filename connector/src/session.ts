import { TOPICS } from '@lockstep/runtime'
import type { EventLog, Logger, TimeSource } from '@lockstep/runtime'
import { Arena, clockOf, encodeEvent, stampOf, widenXid, writeChange } from '@lockstep/schemas'
import type { Clock, Lsn, RuleSet, Stamp } from '@lockstep/schemas'
import { Decoder } from './decoder.ts'
import type { BeginFrame, DecoderOptions, FrameSink } from './decoder.ts'
import { fail } from './errors.ts'
import { Gate } from './gate.ts'
import type { ConnectorMetrics } from './metrics.ts'
import type { Reading, ReplicationStream, StreamHandler } from './ports.ts'
import type { Publisher } from './publisher.ts'
import type { Row } from './row.ts'
import { Tally } from './tally.ts'
import { Transaction, Transactions } from './transactions.ts'
import { Watermarks } from './watermark.ts'
import type { Candidate } from './watermark.ts'

/** What a session takes from the process and from its preparation. */
export interface SessionOptions {
  readonly rules: RuleSet
  readonly limits: { readonly bulkRows: number; readonly maxWaitingRows: number; readonly maxBufferedBytes: number }
  readonly tables: DecoderOptions['tables']
  readonly generation: number
  readonly partitions: number
  readonly first: Reading
  readonly log: Pick<EventLog, 'produce'>
  readonly publisher: Publisher
  readonly time: TimeSource
  readonly metrics: ConnectorMetrics
  readonly logger: Logger
  /** Asks the pump for a snapshot. */
  readonly wake: () => void
  readonly onMessage: (prefix: string, content: string) => void
  readonly unsafe?: { readonly noGate?: boolean | undefined } | undefined
}

const US_PER_MS = 1000
// Above what `maxWaitingRows` rows of ordinary keys take: it bounds wide ones.
const MAX_HELD_BYTES = 16 * 1024 * 1024

/**
 * One pass over the stream, from a connection to its end: bytes → rows → gate → log, and back from the log's
 * acknowledgements to the position that Postgres may forget. Nothing of it survives into the next session.
 */
export class Session implements StreamHandler, FrameSink {
  readonly gate: Gate
  readonly transactions: Transactions
  readonly watermarks: Watermarks
  readonly #options: SessionOptions
  readonly #decoder: Decoder
  readonly #decoded: Tally
  readonly #arena = new Arena()
  readonly #onProgress = (transaction: Transaction): void => this.#progress(transaction)
  /** The newest stamp and what it was made of: rows leave in runs of one snapshot. */
  #stamped: { readonly clock: Clock; readonly generation: number; readonly stamp: Stamp }
  #stream: ReplicationStream | undefined
  #generation: number
  #emitting: Promise<void> | undefined
  #nextWatermark: Candidate | undefined
  #isRaising = false
  #isPaused = false
  #lastArrivalMs: number
  #lastWatermarkMs: number | undefined

  constructor(options: SessionOptions) {
    const { first, limits, metrics, time, rules, tables, logger } = options
    this.#options = options
    this.#generation = options.generation
    this.#lastArrivalMs = time.nowMs()
    const clock = clockOf(first.snapshot)
    this.#stamped = { clock, generation: options.generation, stamp: stampOf(options.generation, clock) }
    this.#decoded = new Tally(metrics.decoded)
    this.transactions = new Transactions(0n as Lsn)
    this.watermarks = new Watermarks(this.transactions, (candidate) => this.#emit(candidate))
    this.gate = new Gate(first.snapshot, {
      release: (transaction, row, clock) => this.#publish(transaction, row, clock),
      events: {
        passed: (waitedMs) => metrics.visibilityWait.observe(waitedMs / 1000),
        late: () => metrics.visibilityLate.inc(),
        collapsed: () => metrics.bulk.inc(),
      },
      nowMs: () => time.nowMs(),
      maxHeldRows: limits.maxWaitingRows,
      maxHeldBytes: MAX_HELD_BYTES,
      unsafeNoGate: options.unsafe?.noGate,
    })
    const events = {
      unknownTag: () => metrics.unknownTags.inc(),
      relationChanged: (table: string, missing: readonly string[]) => {
        metrics.relations.inc({ table })
        if (missing.length > 0)
          logger.warn({ table, missing }, 'rule columns are missing, every change fences the table')
      },
    }
    this.#decoder = new Decoder({ rules, tables, sink: this, events })
  }

  /** Gives the session its way back to the server. */
  attach(stream: ReplicationStream): void {
    this.#stream = stream
    stream.setPaused(this.#isPaused)
  }

  get generation(): number {
    return this.#generation
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  /** ms since the last commit arrived. */
  get silentMs(): number {
    return this.#options.time.nowMs() - this.#lastArrivalMs
  }

  /** ms since the newest watermark was acknowledged. */
  get watermarkAgeMs(): number | undefined {
    return this.#lastWatermarkMs === undefined ? undefined : this.#options.time.nowMs() - this.#lastWatermarkMs
  }

  onMessage(bytes: Buffer, start: number, end: number): void {
    this.#decoder.parse(bytes, start, end)
  }

  onKeepalive(walEnd: Lsn): void {
    this.transactions.keepalive(walEnd)
    this.watermarks.advanced()
  }

  begin(frame: BeginFrame): void {
    const xid = widenXid(frame.xid, this.gate.xmax)
    const transaction = new Transaction(xid, frame, this.#onProgress)
    this.transactions.begin(transaction)
    this.gate.begin(transaction)
  }

  row(decoded: Row): void {
    const transaction = this.transactions.open
    if (transaction === null) throw fail('LOCKSTEP_CON_PROTOCOL', { detail: 'a row stands outside a transaction' })
    const { metrics, limits, wake } = this.#options
    this.#decoded.add(decoded.table, decoded.op)
    const row = transaction.number(decoded, limits.bulkRows)
    if (row === null) return
    if (row.op === 'bulk') metrics.bulk.inc()
    this.gate.row(transaction, row)
    if (transaction.clock === null) wake()
  }

  commit(endLsn: Lsn): void {
    const { metrics, time } = this.#options
    const transaction = this.transactions.open
    if (transaction === null) throw fail('LOCKSTEP_CON_PROTOCOL', { detail: 'a commit has no begin' })
    this.#lastArrivalMs = time.nowMs()
    metrics.transactions.inc()
    metrics.transactionRows.observe(transaction.rows)
    this.transactions.commit(endLsn)
    this.watermarks.advanced()
  }

  message(prefix: string, content: string): void {
    this.#options.onMessage(prefix, content)
  }

  undecodable(table: string, sha256: Buffer): void {
    const { metrics, logger, publisher } = this.#options
    const error = fail('LOCKSTEP_CON_UNDECODABLE', { table })
    metrics.undecodable.inc({ error_code: error.code })
    logger.error({ table, sha256: sha256.toString('hex'), code: error.code }, 'a row cannot be decoded')
    const { code, message } = error
    const letter = { kind: 'dead-letter', code, message, topic: TOPICS.changes, partition: 0, offset: 0n } as const
    const record = { key: table, value: encodeEvent({ ...letter, payload: sha256 }) }
    // The class fence keeps readers right, so the letter itself need not hold back the acknowledgement.
    publisher.add(TOPICS.deadLetters, record, { acknowledged: () => undefined })
  }

  /** Takes a snapshot that a heartbeat asked for. Does nothing while a generation is being raised. */
  offer(reading: Reading, echo: string): void {
    if (this.#isRaising) return
    this.watermarks.offer({ ...reading, stamp: stampOf(this.#generation, clockOf(reading.snapshot)), echo })
    if (this.watermarks.unreached !== null) this.#stream?.confirm(this.transactions.confirmed, true)
  }

  /** Reads on or not, by the bytes that the log has not acknowledged. */
  balance(bytes: number): void {
    const { maxBufferedBytes } = this.#options.limits
    if (this.#isPaused ? bytes < maxBufferedBytes / 2 : bytes > maxBufferedBytes) {
      this.#isPaused = !this.#isPaused
      this.#stream?.setPaused(this.#isPaused)
    }
  }

  /**
   * Begins a generation in mid-stream: nothing is released from now on, everything released is acknowledged, then
   * `raise` makes the generation durable and writes its flush, and only then do changes go on, with the new stamps.
   */
  async raise(raise: () => Promise<number>): Promise<void> {
    this.#isRaising = true
    this.gate.close()
    this.watermarks.clear()
    this.#nextWatermark = undefined
    try {
      await this.#options.publisher.settled()
      await this.#emitting
      this.#generation = await raise()
    } finally {
      this.#isRaising = false
    }
    this.gate.reopen()
  }

  #publish(transaction: Transaction, row: Row, clock: Clock): void {
    if (clock !== this.#stamped.clock || this.#generation !== this.#stamped.generation) {
      const generation = this.#generation
      this.#stamped = { clock, generation, stamp: stampOf(generation, clock) }
    }
    transaction.pending += 1
    const value = writeChange(row, this.#stamped.stamp, transaction, this.#arena)
    this.#options.publisher.add(TOPICS.changes, { key: this.#arena.copy(row.key), value }, transaction)
  }

  #progress(transaction: Transaction): void {
    const { time, metrics } = this.#options
    metrics.commitToProduced.record(Math.max(0, time.wallMs() - Number(transaction.commitTimeUs) / US_PER_MS))
    if (!transaction.isDone) return
    this.transactions.settle()
    this.watermarks.done()
  }

  #emit(candidate: Candidate): void {
    this.#nextWatermark = candidate
    this.#emitting ??= this.#emitAll().finally(() => (this.#emitting = undefined))
  }

  /** One watermark at a time; while it is on its way only the newest one is kept. */
  async #emitAll(): Promise<void> {
    const { log, partitions, time, metrics, logger } = this.#options
    for (let next = this.#nextWatermark; next !== undefined; next = this.#nextWatermark) {
      this.#nextWatermark = undefined
      const { stamp, lsn, echo } = next
      const value = encodeEvent({ kind: 'watermark', stamp, lsn, partitions, echo })
      try {
        const records = Array.from({ length: partitions }, (_none, partition) => ({ key: null, value, partition }))
        await log.produce(TOPICS.changes, records)
        this.#lastWatermarkMs = time.nowMs()
        metrics.watermark.set(time.wallMs() / 1000)
      } catch (error) {
        // The next heartbeat brings a newer one.
        metrics.rejected.inc({ kind: 'watermark' })
        logger.debug({ err: error }, 'a watermark was not accepted')
      }
    }
  }
}
