import type { EventLog, LogBatch, Logger, ReceivedRecord, TimeSource } from '@lockstep/runtime'
import { decodeEvent } from '@lockstep/schemas'
import type { PurgeCommand } from '@lockstep/schemas'
import type { Coalescer } from './coalescer.ts'
import { writeDeadLetter } from './dead-letters.ts'
import type { Rejected } from './dead-letters.ts'
import type { PurgerMetrics } from './metrics.ts'
import { BatchTicket } from './tickets.ts'

// Without a batch for so long, another member took the partition over; it must not hold the others back. Longer than a busy
// machine stands still: who takes a pause for a loss goes on too early, and purges for older changes once more.
const LOST_MS = 5_000

/** What the intake needs. */
export interface LogIntakeDeps {
  readonly log: Pick<EventLog, 'produce'>
  readonly coalescer: Coalescer
  readonly time: TimeSource
  readonly random: () => number
  readonly logger: Logger
  readonly metrics: PurgerMetrics
  /** Resolves when what was done so far can no longer be forgotten. */
  readonly durable: () => Promise<void>
  /** Called when a batch is in the coalescer. */
  readonly onTaken: () => void
}

/** Takes batches of the purge topic into the coalescer, and commits each when all its commands are done and journaled. */
export class LogIntake {
  readonly #deps: LogIntakeDeps
  readonly #next = new Map<number, bigint>()
  readonly #behind = new Map<number, { readonly endOffset: bigint; readonly progressMs: number }>()

  constructor(deps: LogIntakeDeps) {
    this.#deps = deps
  }

  /**
   * True while a partition that was just given to us holds more from before. Its commands may have been purged by our
   * predecessor already, in part: purging them one by one would purge a tag for an older change after a newer one.
   */
  get isCatchingUp(): boolean {
    const nowMs = this.#deps.time.nowMs()
    for (const { progressMs } of this.#behind.values()) if (nowMs - progressMs < LOST_MS) return true
    return false
  }

  /** Takes one batch. It returns before the purges are done; rejects when `signal` aborts. */
  async take(batch: LogBatch, signal: AbortSignal): Promise<void> {
    const { coalescer, time, durable, onTaken } = this.#deps
    const ticket = new BatchTicket(() => void durable().then(() => batch.commit()))
    const rejected: Rejected[] = []
    const nowMs = time.nowMs()
    for (const record of batch.records) {
      const command = this.#decode(record, batch, rejected)
      const source = { partition: batch.partition, offset: record.offset }
      if (command) coalescer.add({ command, source }, ticket, nowMs)
    }
    this.#follow(batch, nowMs)
    onTaken()
    try {
      for (const item of rejected) await writeDeadLetter(this.#deps, item, signal)
    } catch (error) {
      // Stopping: the batch stays uncommitted, so the record is met again.
      if (signal.aborted) return
      throw error
    }
    ticket.release()
  }

  #follow({ partition, firstOffset, nextOffset, endOffset }: LogBatch, nowMs: number): void {
    const isNew = this.#next.get(partition) !== firstOffset
    const target = isNew ? endOffset : (this.#behind.get(partition)?.endOffset ?? 0n)
    this.#next.set(partition, nextOffset)
    if (nextOffset < target) this.#behind.set(partition, { endOffset: target, progressMs: nowMs })
    else this.#behind.delete(partition)
  }

  #decode(record: ReceivedRecord, batch: LogBatch, rejected: Rejected[]): PurgeCommand | null {
    let detail: string
    try {
      const event = decodeEvent(record.value)
      if (event.kind === 'purge') return event
      detail = event.kind
    } catch (error) {
      detail = error instanceof Error ? error.message : String(error)
    }
    const source = { partition: batch.partition, offset: record.offset }
    rejected.push({ code: 'LOCKSTEP_CDN_UNDECODABLE', detail, source, payload: record.value })
    return null
  }
}
