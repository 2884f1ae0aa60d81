import { clockOf, sees } from '@lockstep/schemas'
import type { Clock, Snapshot } from '@lockstep/schemas'
import { bytesOf, detached, tableRow } from './row.ts'
import type { Row } from './row.ts'
import type { Transaction } from './transactions.ts'

/** What leaves the gate, with the clock of a snapshot that sees the transaction. */
export type Release = (transaction: Transaction, row: Row, clock: Clock) => void

export interface GateEvents {
  /** A transaction's first row has passed after `waitedMs`. */
  passed(waitedMs: number): void
  /** A transaction was not seen by the first snapshot asked for after its arrival. */
  late(): void
  /** A held transaction was replaced by one change per table. */
  collapsed(): void
}

export interface GateOptions {
  readonly release: Release
  readonly events: GateEvents
  readonly nowMs: () => number
  /** Rows that may be held altogether, and bytes of theirs; the transaction that passes either collapses. */
  readonly maxHeldRows: number
  readonly maxHeldBytes: number
  /** TEST ONLY, unsafe: rows pass with the newest known clock, seen or not. */
  readonly unsafeNoGate?: boolean | undefined
}

/**
 * The visibility gate: holds the rows of a transaction until a snapshot sees it. A transaction that waits never holds
 * back another one's rows; its own keep their order.
 */
export class Gate {
  readonly #options: GateOptions
  // Lists, not sets: an outgrown hash table points to its successor, so one that grows old keeps all that follow.
  #waiting: Transaction[] = []
  #snapshot: Snapshot
  #clock: Clock
  #asked = 0
  #heldRows = 0
  #heldBytes = 0
  #fresh = 0
  #isClosed = false

  constructor(first: Snapshot, options: GateOptions) {
    this.#snapshot = first
    this.#clock = clockOf(first)
    this.#options = options
  }

  /** xmax of the newest snapshot, to widen xids with. */
  get xmax(): bigint {
    return this.#snapshot.xmax
  }

  /** Transactions that wait, late ones included. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Whether a transaction waits for which no snapshot has been asked since it arrived. */
  get hasFresh(): boolean {
    return this.#fresh > 0
  }

  /** Judges a transaction by the newest snapshot; later ones are asked for only when it has rows to hold. */
  begin(transaction: Transaction): void {
    transaction.arrivedAt = this.#asked
    transaction.heldSinceMs = this.#options.nowMs()
    if (this.#options.unsafeNoGate === true || sees(this.#snapshot, transaction.xid)) this.#see(transaction)
  }

  /** Lets the row pass or holds it. */
  row(transaction: Transaction, row: Row): void {
    // A snapshot may have come between Begin and the first row, while nothing waited.
    if (transaction.clock === null && !transaction.isWaiting && sees(this.#snapshot, transaction.xid))
      this.#see(transaction)
    if (transaction.clock !== null && !this.#isClosed) {
      this.#options.release(transaction, row, transaction.clock)
      return
    }
    this.#hold(transaction, row)
  }

  /** Call right before a snapshot is asked for: what has arrived by now must be seen by it or counts as late. */
  asking(): number {
    return ++this.#asked
  }

  /** Applies the answer to the request that `asking` numbered: everything it sees passes at once. Answers how many those are. */
  apply(snapshot: Snapshot, request: number): number {
    this.#snapshot = snapshot
    this.#clock = clockOf(snapshot)
    let seen = 0
    for (const transaction of this.#waiting) {
      if (transaction.clock !== null) continue
      if (sees(snapshot, transaction.xid)) {
        this.#see(transaction)
        seen += 1
      } else this.#judgeLate(transaction, request)
    }
    if (!this.#isClosed) this.#passSeen()
    return seen
  }

  /** Holds everything, visible or not, until `reopen`: no record may pass a change of generation. */
  close(): void {
    this.#isClosed = true
  }

  reopen(): void {
    this.#isClosed = false
    this.#passSeen()
  }

  #see(transaction: Transaction): void {
    if (transaction.isWaiting && !transaction.isLate) this.#fresh -= 1
    transaction.clock = this.#clock
    this.#options.events.passed(this.#options.nowMs() - transaction.heldSinceMs)
  }

  #judgeLate(transaction: Transaction, request: number): void {
    if (transaction.isLate || transaction.arrivedAt >= request) return
    transaction.isLate = true
    this.#fresh -= 1
    this.#options.events.late()
  }

  #hold(transaction: Transaction, row: Row): void {
    if (!transaction.isWaiting) {
      transaction.isWaiting = true
      this.#waiting.push(transaction)
      if (transaction.clock === null && !transaction.isLate) this.#fresh += 1
    }
    if (transaction.isCollapsed) {
      if (!transaction.held.some(({ table }) => table === row.table))
        this.#push(transaction, tableRow('bulk', row.table, row.index))
      return
    }
    this.#push(transaction, detached(row))
    const { maxHeldRows, maxHeldBytes } = this.#options
    if (this.#heldRows > maxHeldRows || this.#heldBytes > maxHeldBytes) this.#collapse(transaction)
  }

  #push(transaction: Transaction, row: Row): void {
    transaction.held.push(row)
    this.#heldRows += 1
    this.#heldBytes += bytesOf(row)
  }

  #collapse(transaction: Transaction): void {
    const firstOfTable = new Map<string, number>()
    for (const { table, index } of transaction.held) if (!firstOfTable.has(table)) firstOfTable.set(table, index)
    this.#forget(transaction.held)
    transaction.held = []
    for (const [table, index] of firstOfTable) this.#push(transaction, tableRow('bulk', table, index))
    transaction.isCollapsed = true
    this.#options.events.collapsed()
  }

  #passSeen(): void {
    const waiting = this.#waiting
    if (waiting.every(({ clock }) => clock === null)) return
    this.#waiting = waiting.filter(({ clock }) => clock === null)
    for (const transaction of waiting) if (transaction.clock !== null) this.#pass(transaction, transaction.clock)
  }

  #pass(transaction: Transaction, clock: Clock): void {
    const { held } = transaction
    transaction.isWaiting = false
    transaction.held = []
    this.#forget(held)
    for (const row of held) this.#options.release(transaction, row, clock)
  }

  #forget(rows: readonly Row[]): void {
    this.#heldRows -= rows.length
    for (const row of rows) this.#heldBytes -= bytesOf(row)
  }
}
