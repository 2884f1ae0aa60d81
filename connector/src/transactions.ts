import { maxLsn } from '@lockstep/schemas'
import type { Clock, Lsn } from '@lockstep/schemas'
import type { BeginFrame } from './decoder.ts'
import type { Ticket } from './publisher.ts'
import { tableRow } from './row.ts'
import type { Row } from './row.ts'

/** One transaction between its Begin and the log's acknowledgement of its last record. */
export class Transaction implements Ticket {
  readonly xid: bigint
  readonly commitLsn: Lsn
  readonly commitTimeUs: bigint
  /** Clock of the snapshot that sees it; null while it is held at the gate. */
  clock: Clock | null = null
  /** Rows held at the gate, in order. */
  held: Row[] = []
  /** True while the gate holds rows of it. */
  isWaiting = false
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
  #rows = 0
  /** Table of the last row and how many of its rows there were; rows come in runs of one table. */
  #table = ''
  #rowsHere = 0
  #rowsOfTable: Map<string, number> | undefined

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
  number(row: Row, bulkRows: number): Row | null {
    row.index = this.#rows++
    if (row.table !== this.#table) {
      if (this.#table !== '') (this.#rowsOfTable ??= new Map()).set(this.#table, this.#rowsHere)
      this.#table = row.table
      this.#rowsHere = this.#rowsOfTable?.get(row.table) ?? 0
    }
    this.#rowsHere += 1
    if (this.#rowsHere <= bulkRows) return row
    return this.#rowsHere === bulkRows + 1 ? tableRow('bulk', row.table, row.index) : null
  }
}

// Below this many finished entries, moving the array costs more than it frees.
const COMPACT_AT = 1024

/**
 * Knows the received transactions that the log has not acknowledged, in commit order, and from them what may be
 * acknowledged to Postgres: the end of the last transaction of the contiguous prefix that is done, exactly.
 */
export class Transactions {
  readonly #queue: Transaction[] = []
  #head = 0
  /** Number of the queue's first entry. */
  #base = 0
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
    this.#queue.splice(0, this.#head)
    this.#base += this.#head
    this.#head = 0
  }

  /** Number of the transaction that comes next; they are numbered as they begin. */
  get nextNumber(): number {
    return this.#base + this.#queue.length
  }

  /** The first transaction from number `from` to before `until` that is not done and that `counts`; `until` if none is. */
  firstUndone(from: number, until: number, counts: (transaction: Transaction) => boolean): number {
    for (let number = Math.max(from, this.#base + this.#head); number < until; number++) {
      const transaction = this.#queue[number - this.#base]
      if (transaction !== undefined && !transaction.isDone && counts(transaction)) return number
    }
    return until
  }
}
