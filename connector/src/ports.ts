import type { Lsn, Snapshot } from '@lockstep/schemas'
import type { ServerFacts, TableFacts } from './source-facts.ts'

/** A snapshot, and a WAL position read after it: every commit that the snapshot sees lies below `lsn`. */
export interface Reading {
  readonly snapshot: Snapshot
  readonly lsn: Lsn
}

/** Asks the primary for snapshots. One call at a time; a rejection ends the session. */
export interface Snapshots {
  take(): Promise<Reading>
  close(): Promise<void>
}

/**
 * Takes what the stream delivers, in order and synchronously: the bytes are the caller's and are overwritten afterwards.
 * A throw ends the stream with that error.
 */
export interface StreamHandler {
  /** The message is `bytes[start…end)`. */
  onMessage(bytes: Buffer, start: number, end: number): void
  /** Everything that Postgres had to send up to `walEnd` was delivered before. */
  onKeepalive(walEnd: Lsn): void
}

/** Controls one open replication stream. */
export interface ReplicationStream {
  /** Settles, never rejects, with what ended the stream; also after `stop`. */
  readonly ended: Promise<Error>
  /** Tells the server that everything below `lsn` is done; it forgets it. `wantsReply` asks for a keepalive at once. */
  confirm(lsn: Lsn, wantsReply: boolean): void
  /** Stops or goes on reading from the socket. Status messages are sent either way. */
  setPaused(paused: boolean): void
  /** Ends the stream within a deadline of its own. Idempotent. */
  stop(): Promise<void>
}

/** What identifies a primary's WAL: a change of either means another history. */
export interface ServerIdentity {
  readonly systemId: string
  readonly timeline: number
}

/** The stored generation of one namespace. */
export interface Epoch extends ServerIdentity {
  readonly generation: number
  readonly slot: string
  /** The publication as it was, see `Catalog.publicationPrint`. */
  readonly publication: string
  /** False while a flush of this generation may not have reached every partition. */
  readonly announced: boolean
  /** Nothing above it has been acknowledged to Postgres, see `EpochStore.reserve`; null where nobody noted it. */
  readonly confirmable: Lsn | null
  /** Generations of the last hour that answered a gap. */
  readonly recentGaps: number
}

/** Asks for a generation that is greater than the stored one and than `above`, by `step`. */
export interface RaiseRequest extends ServerIdentity {
  readonly slot: string
  readonly publication: string
  readonly above: number
  readonly step: number
  /** Whether it counts as one of the gaps that are bounded per hour. */
  readonly isGap: boolean
}

/** Keeps the generation durably in the source database. */
export interface EpochStore {
  /** Creates schema and table first if they are missing. */
  read(): Promise<Epoch | undefined>
  /** Resolves once the new generation is durable, not yet announced. */
  raise(request: RaiseRequest): Promise<Epoch>
  markAnnounced(generation: number): Promise<void>
  /**
   * Notes durably where the WAL ends now and answers it. What is acknowledged to Postgres must never pass the newest
   * note: a slot that stands above it is not the one that was acknowledged.
   */
  reserve(): Promise<Lsn>
}

/** The slot as `pg_replication_slots` shows it. */
export interface SlotFacts {
  readonly plugin: string
  readonly database: string
  readonly isActive: boolean
  /** What the consumer calls itself; '' where none is there. */
  readonly consumer: string
  /** It lacks WAL that it needs, or the server has invalidated it for another reason. */
  readonly isLost: boolean
  readonly confirmed: Lsn | null
  /** As `wal_status` says, with the reason of an invalidation where the server tells one. */
  readonly walStatus: string
  readonly isTemporary: boolean
  readonly isTwoPhase: boolean
  /** Survives a failover; false before PG 17. */
  readonly isFailover: boolean
}

/** What may become a gap, as the guardian watches it. */
export interface Vitals {
  readonly slot: SlotVitals | undefined
  /** See `Catalog.publicationPrint`. */
  readonly publication: string
  /** The oldest running transaction with an xid, and the next xid to be given: equal while none runs. */
  readonly oldestXid: bigint
  readonly nextXid: bigint
}

/** The slot in use. */
export interface SlotVitals {
  /** reserved, extended, unreserved or lost, as `pg_replication_slots.wal_status` says. */
  readonly walStatus: string
  /** Why the server invalidated it; '' while it is sound. */
  readonly invalidation: string
  readonly retainedBytes: number
  /** WAL that may still be written before it can be lost; null without a limit. */
  readonly safeBytes: number | null
  /** Since the statistics were reset. */
  readonly spilledBytes: number
}

/** The publication and what it carries. */
export interface PublicationFacts {
  readonly isForAllTables: boolean
  readonly viaRoot: boolean
  readonly publishes: ReadonlySet<'insert' | 'update' | 'delete' | 'truncate'>
  /** Table → its published columns, or null for all of them (before PG 15). */
  readonly tables: ReadonlyMap<string, readonly string[] | null>
  /** Tables of which a row filter hides rows. */
  readonly filtered: readonly string[]
}

/** Everything preflight judges, read in one go. */
export interface CatalogFacts {
  /** As `server_version_num` says, 150018. */
  readonly serverVersion: number
  readonly walLevel: string
  readonly isInRecovery: boolean
  readonly sql: ServerIdentity
  /** What IDENTIFY_SYSTEM says on a replication connection; an error's text where it was refused. */
  readonly replication: ServerIdentity | string
  readonly role: string
  readonly database: string
  readonly mayReplicate: boolean
  readonly mayCreate: boolean
  readonly freeSlots: number
  readonly freeSenders: number
  readonly slot: SlotFacts | undefined
  readonly publication: PublicationFacts | undefined
  /** Only tables that exist. */
  readonly tables: ReadonlyMap<string, TableFacts>
  /** MiB; −1 is unlimited. */
  readonly maxSlotWalKeepMb: number
  readonly synchronousStandbys: string
  readonly server: ServerFacts
}

/** Reads the catalog. */
export interface Catalog {
  /** Rejects only when the database cannot be asked at all. */
  facts(tables: readonly string[]): Promise<CatalogFacts>
  /** Names the publication's OID, then `:`, then what it carries; '' while there is none. Equal texts: nothing changed. */
  publicationPrint(): Promise<string>
  /** Cheap enough for every second. */
  vitals(): Promise<Vitals>
}

/** Changes the source database; called only after every check has passed. */
export interface SourceAdmin {
  createPublication(tables: readonly string[]): Promise<void>
  readonly slot: SlotAdmin
  /** Writes a transactional logical message and flushes it locally, never waiting for a standby. */
  emit(content: string): Promise<void>
}

/** A process that reads the slot. */
export interface SlotHolder {
  readonly pid: number
  /** A walsender of this namespace: left behind, when the lead is ours. */
  readonly isOurs: boolean
  /** Role and application, for a person. */
  readonly who: string
}

/** Owns the slot. */
export interface SlotAdmin {
  /** `failover`: standbys keep a copy, where the server (17 or newer) can have one. */
  create(failover: boolean): Promise<void>
  drop(): Promise<void>
  holder(): Promise<SlotHolder | undefined>
  /** Ends the holder's connection; false where the role may not. */
  terminate(pid: number): Promise<boolean>
}

/**
 * The connection itself. Of all connectors of a namespace one at a time leads; the server takes the lead back when the
 * connection ends, so whatever this connection has changed was changed by the leader.
 */
export interface Link {
  /** Answers at once whether this connection leads from now on. */
  tryLead(): Promise<boolean>
  /** Settles, never rejects, when the connection is gone; also after `close`. */
  readonly lost: Promise<Error>
  close(): Promise<void>
}

/** The ordinary connection of one session. */
export interface SourceConnection {
  readonly catalog: Catalog
  readonly admin: SourceAdmin
  readonly epochs: EpochStore
  readonly link: Link
}

/** Opens the connections of one session to one primary. */
export interface Source {
  connect(): Promise<SourceConnection>
  openSnapshots(): Promise<Snapshots>
  /**
   * Connects, makes the slot where it is temporary, asks `ready` for the handler and then lets the stream begin.
   * Rejects when the server refuses, or is not the one that `expected` identifies, or when `ready` rejects.
   */
  openStream(expected: ServerIdentity, ready: () => Promise<StreamHandler>): Promise<ReplicationStream>
}

/** TEST ONLY: switches protections off, or moves their bounds, so that a test can prove that they matter. */
export interface UnsafeSwitches {
  readonly noGate?: boolean | undefined
  /** How long a predecessor may go on holding the slot. */
  readonly graceMs?: number | undefined
}
