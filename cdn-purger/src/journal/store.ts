import type { Lsn, Stamp, Tag } from '@lockstep/schemas'
import type { JournalEntry, JournalState } from './port.ts'

/** One purge of one entry, as it is read back. */
export interface JournalRecord extends Omit<JournalEntry, 'items'> {
  /** Where it stands: later records have greater positions. */
  readonly position: JournalPosition
  readonly id: string
  readonly tag: Tag
  readonly stamp: Stamp
  readonly commitLsn: Lsn
  readonly commitTimeUs: bigint
  readonly attempts?: number | undefined
  readonly actor?: string | undefined
  readonly replayOf?: string | undefined
}

/** The entry, and which of its items. */
export interface JournalPosition {
  readonly entry: number
  readonly item: number
}

/** What to read; every condition narrows. */
export interface JournalQuery {
  /** Entries from this wall time on, ms. */
  readonly fromMs?: number | undefined
  /** Entries before this wall time, ms. */
  readonly toMs?: number | undefined
  /** Purges whose commit stands at or past this position. */
  readonly fromLsn?: Lsn | undefined
  /** Purges whose commit stands at or before this position. */
  readonly toLsn?: Lsn | undefined
  readonly tag?: Tag | undefined
  readonly prefix?: string | undefined
  /** The part of tags before their first `:`. */
  readonly tagClass?: string | undefined
  readonly batch?: string | undefined
  readonly provider?: string | undefined
  readonly state?: JournalState | undefined
  readonly phase?: JournalEntry['phase'] | undefined
  readonly lane?: JournalEntry['lane'] | undefined
  readonly replayOf?: string | undefined
  /** Oldest first unless set. */
  readonly newestFirst?: boolean | undefined
  /** Only what follows this position in reading order. */
  readonly after?: JournalPosition | undefined
}

/** Keeps entries. Every implementation passes `registerJournalStoreContract`. */
export interface JournalStore {
  /** Appends all or nothing, in order; resolves when they are durable. Rejects when the outcome is unknown: written again. */
  write(entries: readonly JournalEntry[]): Promise<void>
  /** Reads in order, a page at a time; what is appended meanwhile may or may not be seen. */
  read(query: JournalQuery): AsyncIterable<JournalRecord>
  /** Forgets whole days, or entries, that lie before `beforeMs`. */
  prune(beforeMs: number): Promise<void>
  close(): Promise<void>
}
