import { sees } from '@lockstep/schemas'
import type { Lsn, Stamp } from '@lockstep/schemas'
import type { Reading } from './ports.ts'
import type { Transactions } from './transactions.ts'

/** A snapshot that may become a watermark. */
export interface Candidate extends Reading {
  readonly stamp: Stamp
  /** Newest echo that had arrived before the snapshot was asked for. */
  readonly echo: string
}

interface Tracked {
  readonly candidate: Candidate
  /** Number of the first transaction that it need not wait for; null until the stream has reached it. */
  until: number | null
  /** Every transaction below it is done, or not seen by the snapshot. */
  cursor: number
}

/** At 50 ms a heartbeat these are three seconds of a slow log; more would only cost memory. */
const MAX_TRACKED = 64

/**
 * Turns snapshots into watermarks: one passes when the stream has reached its position and every received transaction
 * that it sees is acknowledged by the log. A transaction that no snapshot sees yet holds back none.
 */
export class Watermarks {
  readonly #transactions: Transactions
  readonly #emit: (candidate: Candidate) => void
  #tracked: Tracked[] = []

  constructor(transactions: Transactions, emit: (candidate: Candidate) => void) {
    this.#transactions = transactions
    this.#emit = emit
  }

  /** The oldest position that the stream has not reached, or null. */
  get unreached(): Lsn | null {
    return this.#tracked.find(({ until }) => until === null)?.candidate.lsn ?? null
  }

  /** Takes candidates in the order of their snapshots. */
  offer(candidate: Candidate): void {
    if (this.#tracked.length >= MAX_TRACKED) return
    this.#tracked.push({ candidate, until: null, cursor: 0 })
    this.advanced()
  }

  /** Call after the stream has moved. */
  advanced(): void {
    if (this.#tracked.length === 0) return
    for (const tracked of this.#tracked) {
      if (tracked.until !== null) continue
      if (tracked.candidate.lsn > this.#transactions.received) break
      // What it sees was committed below its position, so all of it has arrived.
      tracked.until = this.#transactions.nextNumber
    }
    this.done()
  }

  /** Call when transactions are done. What lets a newer candidate pass lets every older one pass as well. */
  done(): void {
    let passed: Tracked | undefined
    for (let first = this.#tracked[0]; first !== undefined && this.#passes(first); first = this.#tracked[0])
      passed = this.#tracked.shift()
    if (passed !== undefined) this.#emit(passed.candidate)
  }

  /** Forgets every candidate, as their stamps are of an older generation. */
  clear(): void {
    this.#tracked = []
  }

  #passes(tracked: Tracked): boolean {
    const { candidate, until, cursor } = tracked
    if (until === null) return false
    tracked.cursor = this.#transactions.firstUndone(cursor, until, ({ xid }) => sees(candidate.snapshot, xid))
    return tracked.cursor === until
  }
}
