import { backoff } from '@lockstep/runtime'
import type { Backoff, EventLog, LogRecord, TimeSource } from '@lockstep/runtime'

/** Is told when the log has acknowledged records handed over with it. */
export interface Ticket {
  acknowledged(records: number): void
}

export interface PublisherOptions {
  readonly log: Pick<EventLog, 'produce'>
  readonly time: TimeSource
  readonly random: () => number
  readonly events: { produced(topic: string, records: number): void; rejected(topic: string, error: unknown): void }
  /** Told whenever the bytes not yet acknowledged have changed. */
  readonly onBytes: (bytes: number) => void
}

interface Batch {
  readonly topic: string
  readonly records: LogRecord[]
  /** Whose records they are, in runs: those of one ticket mostly stand together. */
  readonly tickets: Ticket[]
  readonly runs: number[]
  bytes: number
}

// What a record takes in the heap besides its bytes, roughly: the bound is one of memory, not of payload.
const RECORD_COST = 512

// One batch carries what one read of the socket brought, at most this many records: a produce request of about 100 kB.
const MAX_BATCH_RECORDS = 1000
const RETRY = { initialMs: 20, maxMs: 2_000 }

/**
 * Hands records to the log, several calls in flight; the log keeps their order. After a rejection nothing new is handed
 * over until every call in flight has settled; then all that is not acknowledged goes again, in its first order, until
 * it is accepted or given up: duplicates are harmless.
 */
export class Publisher {
  readonly #options: PublisherOptions
  /** By topic; a topic once used stays. */
  readonly #open = new Map<string, Batch | undefined>()
  /** Handed over and not acknowledged, in order. A list, as at the gate: sets would grow old here. */
  #unacked: Batch[] = []
  readonly #inFlight: Promise<void>[] = []
  readonly #delays: Backoff
  #abort = new AbortController()
  #recovering: Promise<void> | undefined
  #onSettled = Promise.withResolvers<void>()
  #bytes = 0
  #isScheduled = false

  constructor(options: PublisherOptions) {
    this.#options = options
    this.#delays = backoff({ ...RETRY, random: options.random })
  }

  /** Bytes handed to the log and not acknowledged, with what records cost besides. */
  get bytes(): number {
    return this.#bytes
  }

  /** Adds a record to the batch of this turn of the event loop. */
  add(topic: string, record: LogRecord, ticket: Ticket): void {
    let batch = this.#open.get(topic)
    if (batch === undefined) {
      batch = { topic, records: [], tickets: [], runs: [], bytes: 0 }
      this.#open.set(topic, batch)
    }
    batch.records.push(record)
    batch.bytes += record.value.length + RECORD_COST
    const last = batch.tickets.length - 1
    if (batch.tickets[last] === ticket) batch.runs[last]! += 1
    else {
      batch.tickets.push(ticket)
      batch.runs.push(1)
    }
    if (batch.records.length >= MAX_BATCH_RECORDS) this.#send(batch)
    if (this.#isScheduled) return
    this.#isScheduled = true
    // Runs after the socket handler that fed all messages of one read, before any timer.
    queueMicrotask(() => this.#flush())
  }

  /** Resolves when everything added by now is acknowledged or given up. */
  async settled(): Promise<void> {
    this.#flush()
    if (this.#unacked.length > 0) await this.#onSettled.promise
  }

  /** Gives up what has not been acknowledged; resolves when no call is in flight, so that nothing follows later. */
  async abandon(): Promise<void> {
    this.#abort.abort(new Error('abandoned'))
    this.#open.clear()
    this.#unacked = []
    await Promise.all([...this.#inFlight, this.#recovering])
    this.#abort = new AbortController()
    this.#bytes = 0
    this.#options.onBytes(0)
    this.#settle()
  }

  #flush(): void {
    this.#isScheduled = false
    for (const batch of this.#open.values()) if (batch !== undefined) this.#send(batch)
  }

  #send(batch: Batch): void {
    this.#open.set(batch.topic, undefined)
    this.#unacked.push(batch)
    this.#count(batch.bytes)
    if (this.#recovering === undefined) this.#call(batch)
  }

  #call(batch: Batch): void {
    const { log, events } = this.#options
    const { signal } = this.#abort
    const call = log.produce(batch.topic, batch.records).then(
      () => {
        if (!signal.aborted) this.#acknowledge(batch)
      },
      (error: unknown) => {
        if (signal.aborted) return
        events.rejected(batch.topic, error)
        this.#recovering ??= this.#recover(signal)
      },
    )
    this.#inFlight.push(call)
    void call.then(() => remove(this.#inFlight, call))
  }

  async #recover(signal: AbortSignal): Promise<void> {
    // The log has rejected every call that waited behind the first one, so none can overtake another.
    await Promise.all(this.#inFlight)
    await this.#options.time.sleep(this.#delays.nextDelay(), signal).catch(() => undefined)
    this.#recovering = undefined
    if (!signal.aborted) for (const batch of this.#unacked) this.#call(batch)
  }

  #acknowledge(batch: Batch): void {
    this.#delays.reset()
    remove(this.#unacked, batch)
    this.#options.events.produced(batch.topic, batch.records.length)
    for (const [index, ticket] of batch.tickets.entries()) ticket.acknowledged(batch.runs[index]!)
    this.#count(-batch.bytes)
    if (this.#unacked.length === 0) this.#settle()
  }

  #settle(): void {
    this.#onSettled.resolve()
    this.#onSettled = Promise.withResolvers()
  }

  #count(bytes: number): void {
    this.#bytes += bytes
    this.#options.onBytes(this.#bytes)
  }
}

/** Takes one item out; nearly always it is the first. */
function remove<T>(items: T[], item: T): void {
  const index = items.indexOf(item)
  if (index >= 0) items.splice(index, 1)
}
