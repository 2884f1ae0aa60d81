import { backoff } from '@lockstep/runtime'
import type { EventLog, LogRecord, TimeSource } from '@lockstep/runtime'

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
  readonly tickets: Map<Ticket, number>
  bytes: number
}

// One batch carries what one read of the socket brought, at most this many records: a produce request of about 100 kB.
const MAX_BATCH_RECORDS = 1000
const RETRY = { initialMs: 20, maxMs: 2_000 }

/**
 * Hands records to the log, several calls in flight; the log keeps their order. Rejected calls are repeated with the
 * same records until they are accepted or given up: duplicates are harmless.
 */
export class Publisher {
  readonly #options: PublisherOptions
  readonly #inFlight = new Set<Promise<void>>()
  readonly #open = new Map<string, Batch>()
  #abort = new AbortController()
  #bytes = 0
  #isScheduled = false

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  /** Bytes handed over and not acknowledged. */
  get bytes(): number {
    return this.#bytes
  }

  /** Adds a record to the batch of this turn of the event loop. */
  add(topic: string, record: LogRecord, ticket: Ticket): void {
    let batch = this.#open.get(topic)
    if (batch === undefined) this.#open.set(topic, (batch = { topic, records: [], tickets: new Map(), bytes: 0 }))
    batch.records.push(record)
    batch.bytes += record.value.length
    batch.tickets.set(ticket, (batch.tickets.get(ticket) ?? 0) + 1)
    this.#count(record.value.length)
    if (batch.records.length >= MAX_BATCH_RECORDS) this.#send(batch)
    if (this.#isScheduled) return
    this.#isScheduled = true
    // Runs after the socket handler that fed all messages of one read, before any timer.
    queueMicrotask(() => this.#flush())
  }

  /** Resolves when no call is in flight, whatever came of them. */
  async settled(): Promise<void> {
    this.#flush()
    while (this.#inFlight.size > 0) await Promise.allSettled(this.#inFlight)
  }

  /** Gives up what has not been acknowledged; resolves when no call is in flight, so that nothing follows later. */
  async abandon(): Promise<void> {
    this.#abort.abort(new Error('abandoned'))
    this.#open.clear()
    await Promise.allSettled(this.#inFlight)
    this.#abort = new AbortController()
    this.#bytes = 0
    this.#options.onBytes(0)
  }

  #flush(): void {
    this.#isScheduled = false
    for (const batch of this.#open.values()) this.#send(batch)
  }

  #send(batch: Batch): void {
    this.#open.delete(batch.topic)
    const call = this.#produce(batch, this.#abort.signal).finally(() => this.#inFlight.delete(call))
    this.#inFlight.add(call)
  }

  async #produce(batch: Batch, signal: AbortSignal): Promise<void> {
    const { log, time, events, random } = this.#options
    const delays = backoff({ ...RETRY, random })
    while (!signal.aborted) {
      try {
        await log.produce(batch.topic, batch.records)
        break
      } catch (error) {
        events.rejected(batch.topic, error)
        await time.sleep(delays.nextDelay(), signal).catch(() => undefined)
      }
    }
    if (signal.aborted) return
    events.produced(batch.topic, batch.records.length)
    for (const [ticket, records] of batch.tickets) ticket.acknowledged(records)
    this.#count(-batch.bytes)
  }

  #count(bytes: number): void {
    this.#bytes += bytes
    this.#options.onBytes(this.#bytes)
  }
}
