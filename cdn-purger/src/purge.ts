import type { PurgeCommand, SurrogateKey, Tag } from '@lockstep/schemas'
import type { OrderLane } from './ports.ts'
import type { TicketSet } from './tickets.ts'

/** One tag on its way to the edge, with everything that was merged into it. */
export interface Purge {
  readonly tag: Tag
  readonly key: SurrogateKey
  /** The rebound is the second purge, for fetches that were in flight during the first one. */
  readonly phase: 'live' | 'rebound'
  /** Where it came from: the log, or an order. */
  readonly lane: 'live' | OrderLane
  /** The command with the greatest stamp. */
  readonly command: PurgeCommand
  /** Commit time of the earliest command merged into this purge, µs since the Unix epoch. */
  readonly commitTimeUs: bigint
  /** When the earliest command arrived, by the monotonic clock. */
  readonly arrivedMs: number
  /** Null for an order. */
  readonly source: RecordPosition | null
  readonly tickets: TicketSet
  /** Of an order: who asked, for which replay, and whom to tell that a provider refuses it. */
  readonly actor?: string
  readonly replayOf?: string | null
  readonly onRefused?: (provider: string, detail: string) => void
}

/** Where in the log the command of a purge stands. */
export interface RecordPosition {
  readonly partition: number
  readonly offset: bigint
}

/** A command as it was received. */
export interface ReceivedCommand {
  readonly command: PurgeCommand
  readonly source: RecordPosition
}
