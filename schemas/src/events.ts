import type { Lsn } from './lsn.ts'
import type { Stamp } from './stamp.ts'
import type { Tag } from './tag.ts'

/** `null` is SQL NULL; a column that is absent from the map was not sent (unchanged TOAST, or outside the identity). */
export type Columns = Readonly<Record<string, string | null>>

/** Names what happened; `unknown` also stands for operations that only a newer version knows. */
export type ChangeOp = 'insert' | 'update' | 'delete' | 'truncate' | 'bulk' | 'unknown'

/** One row change, or (truncate, bulk, unknown) one change of the whole table. Values are Postgres text. */
export interface Change {
  readonly kind: 'change'
  readonly op: ChangeOp
  /** `schema.table`. */
  readonly table: string
  /**
   * Key and rule columns of the old row. Postgres sends no old row for an update that left the identity alone; the
   * source then copies the identity's columns from the new row (they are equal), and what is absent is truly unknown:
   * `tagsOf` answers a class tag for it.
   */
  readonly before: Columns
  /** Key and rule columns of the new row; empty for a delete. */
  readonly after: Columns
  /** W: a snapshot with this clock sees the transaction. */
  readonly stamp: Stamp
  /** Start of the transaction's commit record, as Begin tells it: rows leave before the end is known. */
  readonly commitLsn: Lsn
  /** Position of the row in its transaction, from 0. */
  readonly index: number
  /** 64-bit transaction id. */
  readonly xid: bigint
  /** The commit's time by Postgres' clock, µs since the Unix epoch. For measuring only. */
  readonly commitTimeUs: bigint
}

/** Everything visible in `stamp` stands before this record, in every partition that carries one. */
export interface Watermark {
  readonly kind: 'watermark'
  readonly stamp: Stamp
  readonly lsn: Lsn
  /** How many partitions must have delivered a watermark before their minimum counts. */
  readonly partitions: number
  /** Newest Redis time (µs, decimal) that had reached the connector before the snapshot was taken; '' before the first. */
  readonly echo: string
}

/** A new generation begins: everything older is invalid. Written to every partition before its first new change. */
export interface Flush {
  readonly kind: 'flush'
  readonly generation: number
  readonly reason: string
  /** False when only Redis lost its memory and the edge missed nothing. */
  readonly edge: boolean
  readonly partitions: number
}

/** One tag to purge at the edge. */
export interface PurgeCommand {
  readonly kind: 'purge'
  readonly id: string
  readonly tag: Tag
  readonly stamp: Stamp
  readonly commitLsn: Lsn
  readonly commitTimeUs: bigint
  /** Bus entry that every live process must have applied first; '' when nothing was appended. */
  readonly busId: string
  readonly reason: string
}

/** A record that can never succeed, with the bytes of our own event; of a raw WAL row only a hash. */
export interface DeadLetter {
  readonly kind: 'dead-letter'
  readonly code: string
  readonly message: string
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly payload: Buffer
}

/** What consumers tell the connector. */
export type ControlMessage =
  | { readonly kind: 'echo'; readonly redisTimeUs: string }
  /** Asks for a generation above `above`; ignored when the connector already owns one. */
  | { readonly kind: 'new-generation'; readonly above: number; readonly reason: string; readonly edge: boolean }

/** Is any record of the log, except those of `control`. */
export type LogEvent = Change | Watermark | Flush | PurgeCommand | DeadLetter

/** One line of a bus entry: `[tag, stamp, commit time in ms since the epoch]`. Class tags and `*` stand beside plain ones. */
export type BusFence = readonly [tag: string, stamp: string, commitTimeMs: number]

/** A bus entry as Redis holds it: field names are one letter because every process reads every one of them. */
export interface BusEntry {
  /** Unique nonce of this entry. */
  readonly n: string
  /** Nonce of its predecessor, '' for the first of a generation: a reader that read another one flushes. */
  readonly p: string
  readonly f: readonly BusFence[]
  /** Watermark stamp: everything visible in it is applied up to here. '' while unknown. */
  readonly m: string
  /** Redis time (µs) that the watermark's snapshot is known to follow. '' while unknown. */
  readonly r: string
  /** LSN, `X/Y`, below which every commit lies that `m` sees; '' in an entry that brought no watermark. */
  readonly l: string
}
