import { sees } from '@lockstep/schemas'
import type { Lsn, Stamp } from '@lockstep/schemas'
import type { Reading } from './ports.ts'
import type { Transaction, Transactions } from './transactions.ts'

/** A snapshot that may become a watermark. */
export interface Candidate extends Reading {
  readonly stamp: Stamp
  /** Newest echo that had arrived before the snapshot was asked for. */
  readonly echo: string
}

interface Tracked {
  readonly candidate: Candidate
  /** Null until the stream has reached it; then what it still waits for. */
  blocking: Set<Transaction> | null
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
    return this.#tracked.find(({ blocking }) => blocking === null)?.candidate.lsn ?? null
  }

  /** Takes candidates in the order of their snapshots. */
  offer(candidate: Candidate): void {
    if (this.#tracked.length >= MAX_TRACKED) return
    this.#tracked.push({ candidate, blocking: null })
    this.advanced()
  }

  /** Call after the stream has moved. */
  advanced(): void {
    for (const tracked of this.#tracked) {
      if (tracked.blocking !== null) continue
      if (tracked.candidate.lsn > this.#transactions.received) break
      // What it sees was committed below its position, so all of it has arrived: this set can only shrink.
      tracked.blocking = this.#blocking(tracked.candidate)
    }
    this.#release()
  }

  /** Call when a transaction is done. */
  done(transaction: Transaction): void {
    if (this.#tracked.length === 0) return
    for (const { blocking } of this.#tracked) blocking?.delete(transaction)
    this.#release()
  }

  /** Forgets every candidate, as their stamps are of an older generation. */
  clear(): void {
    this.#tracked = []
  }

  #blocking(candidate: Candidate): Set<Transaction> {
    const blocking = new Set<Transaction>()
    for (const transaction of this.#transactions.unfinished())
      if (sees(candidate.snapshot, transaction.xid)) blocking.add(transaction)
    return blocking
  }

  #release(): void {
    let newest = -1
    for (const [index, { blocking }] of this.#tracked.entries()) if (blocking?.size === 0) newest = index
    if (newest === -1) return
    const passed = this.#tracked[newest]
    this.#tracked = this.#tracked.slice(newest + 1)
    if (passed !== undefined) this.#emit(passed.candidate)
  }
}
