import { maxLsn } from '@lockstep/schemas'
import type { Clock, Lsn } from '@lockstep/schemas'
import type { BeginFrame, RowFrame } from './decoder.ts'
import type { Ticket } from './publisher.ts'

/** A row with its position in its transaction. */
export interface NumberedRow extends RowFrame {
  readonly index: number
}

/** One transaction between its Begin and the log's acknowledgement of its last record. */
export class Transaction implements Ticket {
  readonly xid: bigint
  readonly commitLsn: Lsn
  readonly commitTimeUs: bigint
  /** Clock of the snapshot that sees it; null while it is held at the gate. */
  clock: Clock | null = null
  /** Rows held at the gate, in order. */
  held: NumberedRow[] = []
  /** Records handed to the log and not yet acknowledged. */
  pending = 0
  /** End of the commit record; null before the Commit message. */
  endLsn: Lsn | null = null
  /** True once a snapshot that was asked for after its arrival has not seen it. */
  isLate = false
  /** The gate's snapshot request that was the newest when it arrived. */
  arrivedAt = 0
  heldSinceMs = 0
  /** True once its held rows have been replaced by one change per table. */
  isCollapsed = false
  readonly #onProgress: (transaction: Transaction) => void
  readonly #rowsOfTable = new Map<string, number>()
  #rows = 0

  /** @param onProgress called when the log has acknowledged some of its records. */
  constructor(xid: bigint, { commitLsn, commitTimeUs }: BeginFrame, onProgress: (transaction: Transaction) => void) {
    this.xid = xid
    this.#onProgress = onProgress
    this.commitLsn = commitLsn
    this.commitTimeUs = commitTimeUs
  }

  /** Everything it changed is acknowledged by the log. */
  get isDone(): boolean {
    return this.endLsn !== null && this.held.length === 0 && this.pending === 0
  }

  get rows(): number {
    return this.#rows
  }

  acknowledged(records: number): void {
    this.pending -= records
    this.#onProgress(this)
  }

  /** Numbers a row. Past `bulkRows` rows of a table one `bulk` stands for all the rest, which answer null. */
  number(row: RowFrame, bulkRows: number): NumberedRow | null {
    const index = this.#rows++
    const count = (this.#rowsOfTable.get(row.table) ?? 0) + 1
    this.#rowsOfTable.set(row.table, count)
    if (count <= bulkRows) return { ...row, index }
    return count === bulkRows + 1 ? bulkOf(row.table, index) : null
  }
}

/** The change that stands for many rows of one table. */
export function bulkOf(table: string, index: number): NumberedRow {
  return { op: 'bulk', table, before: {}, after: {}, key: table, index }
}

// Below this many finished entries, moving the array costs more than it frees.
const COMPACT_AT = 1024

/**
 * Knows the received transactions that the log has not acknowledged, in commit order, and from them what may be
 * acknowledged to Postgres: the end of the last transaction of the contiguous prefix that is done, exactly.
 */
export class Transactions {
  #queue: Transaction[] = []
  #head = 0
  #open: Transaction | null = null
  #confirmed: Lsn
  #received: Lsn
  #total = 0

  /** @param start where the stream begins: everything below was acknowledged before. */
  constructor(start: Lsn) {
    this.#confirmed = start
    this.#received = start
  }

  /** Position that may be acknowledged. Never passes a transaction that is not done. */
  get confirmed(): Lsn {
    return this.#confirmed
  }

  /** Every commit below it has been received. */
  get received(): Lsn {
    return this.#received
  }

  get outstanding(): number {
    return this.#queue.length - this.#head
  }

  get total(): number {
    return this.#total
  }

  /** The transaction between Begin and Commit. */
  get open(): Transaction | null {
    return this.#open
  }

  begin(transaction: Transaction): void {
    this.#open = transaction
    this.#queue.push(transaction)
  }

  commit(endLsn: Lsn): void {
    const transaction = this.#open
    if (transaction === null) return
    transaction.endLsn = endLsn
    this.#open = null
    this.#total += 1
    this.#received = maxLsn(this.#received, endLsn)
    this.settle()
  }

  /** Notes that a keepalive arrived in order. It counts as acknowledged only when nothing is outstanding. */
  keepalive(walEnd: Lsn): void {
    this.#received = maxLsn(this.#received, walEnd)
    if (this.outstanding === 0) this.#confirmed = maxLsn(this.#confirmed, walEnd)
  }

  /** Moves the acknowledgeable position over what is done by now. */
  settle(): void {
    for (let first = this.#queue[this.#head]; first?.isDone; first = this.#queue[this.#head]) {
      if (first.endLsn !== null) this.#confirmed = maxLsn(this.#confirmed, first.endLsn)
      this.#head += 1
    }
    if (this.#head < COMPACT_AT || this.#head * 2 < this.#queue.length) return
    this.#queue = this.#queue.slice(this.#head)
    this.#head = 0
  }

  /** Received and not done, in commit order. */
  *unfinished(): Generator<Transaction> {
    for (let index = this.#head; index < this.#queue.length; index++) {
      const transaction = this.#queue[index]
      if (transaction !== undefined && !transaction.isDone) yield transaction
    }
  }
}
