import type { PurgeCommand } from '@lockstep/schemas'

/** What happened to a purge. `acked`, `superseded` and `dead-lettered` end it at the provider that the entry names. */
export const JOURNAL_STATES = [
  /** Taken in from the log, a replay or an operator. No provider yet. */
  'accepted',
  /** The provider confirmed the request. */
  'acked',
  /** The request failed or was throttled; the purges stay queued. */
  'retrying',
  /** A newer command for the same tag, or a coarser one, took its place. */
  'superseded',
  /** The provider refuses the key for good. */
  'dead-lettered',
  /** The ladder put a class or `*` in its place; `detail` says why. */
  'escalated',
] as const

/** One of `JOURNAL_STATES`. */
export type JournalState = (typeof JOURNAL_STATES)[number]

/** One purge of an entry. A queued purge of the purger is one, so nothing is copied on the way. */
export interface JournalItem {
  readonly command: Pick<PurgeCommand, 'id' | 'tag' | 'stamp' | 'commitLsn' | 'commitTimeUs'>
  /** Requests in which it was sent to this provider, this one included; absent before the first. */
  readonly attempts?: number | undefined
  /** Who asked, where a person or a replay did. */
  readonly actor?: string | undefined
  /** The replay it belongs to. */
  readonly replayOf?: string | null | undefined
}

/** What happened to the purges of one request, or of one intake, at one moment. */
export interface JournalEntry {
  readonly state: JournalState
  /** ms since the Unix epoch. */
  readonly atMs: number
  readonly phase: 'live' | 'rebound'
  readonly lane: 'live' | 'replay' | 'manual'
  /** Absent where no provider is concerned yet. */
  readonly provider?: string | undefined
  /** Index of the provider's tier, 0 next to the origin. */
  readonly tier?: number | undefined
  /** The request: unique for all time and all processes. */
  readonly batch?: string | undefined
  /** What the provider calls the request. */
  readonly providerPurgeId?: string | undefined
  /** When the request was sent, ms since the Unix epoch. */
  readonly sentAtMs?: number | undefined
  /** Objects the provider removed, where it says so. */
  readonly objects?: number | undefined
  /** Why, for people: never a payload. */
  readonly detail?: string | undefined
  readonly items: readonly JournalItem[]
}

/** Where the purger writes down what it did. Appending is a push on an array: the store is written behind the lanes. */
export interface JournalWriter {
  /**
   * Takes an entry, in call order, and resolves when it is durable. Lanes do not wait for it; what must not be forgotten
   * (a commit of the log) does. Never rejects while the writer is open: a store that is away is tried until it answers. An
   * entry that was not durable when the process died was not committed either, so its purges come again.
   */
  append(entry: JournalEntry): Promise<void>
  /** Purges (items) taken but not yet durable. Intake pauses while this is above a bound; lanes never do. */
  readonly pending: number
  /** Writes what was taken and closes the store. */
  close(): Promise<void>
}
