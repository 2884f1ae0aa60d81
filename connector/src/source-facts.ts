/** What a role may do with something: it is not there, the role may not use it, or it may. */
export type Access = 'absent' | 'denied' | 'granted'

/** Settings that preflight reads, as `pg_settings.setting`; '' where the server's version does not know one. */
export const SETTINGS = [
  'max_replication_slots',
  'max_wal_senders',
  'wal_sender_timeout',
  'idle_replication_slot_timeout',
  'synchronized_standby_slots',
] as const
/** One of {@link SETTINGS}. */
export type SettingName = (typeof SETTINGS)[number]

/** Managed services where settings and rights are given in another way. */
export type Provider = 'rds' | 'cloudsql' | 'azure'

/** A transaction that has been open for longer than preflight likes. */
export interface LongTransaction {
  /** Of its session; null for a prepared one. */
  readonly pid: number | null
  /** Of a prepared one. */
  readonly gid: string | null
  readonly database: string
  readonly openSeconds: number
}

/** A function that the connector calls and that not everybody may execute. */
export interface RestrictedFunction {
  /** With its argument types. */
  readonly signature: string
  readonly mayExecute: boolean
}

/** The server and the role, beyond what a session needs to know. */
export interface ServerFacts {
  readonly provider: Provider | undefined
  readonly isSuperuser: boolean
  readonly settings: Readonly<Record<SettingName, string>>
  /** Whether the process that answers is another than the one that the connection was promised. */
  readonly isPooled: boolean
  /** Whether the role sees since when other roles' transactions are open. */
  readonly seesAllSessions: boolean
  readonly longTransactions: readonly LongTransaction[]
  readonly restricted: readonly RestrictedFunction[]
  /** The schema `lockstep`; granted means that a table may be made in it. */
  readonly schema: Access
  /** The table `lockstep.epoch`; granted means that it may be read and written, outdated that only its owner can add columns. */
  readonly epochTable: Access | 'outdated'
}

/** Which old values a relation logs. */
export interface IdentityFacts {
  /** `schema.table`. */
  readonly name: string
  /** default, nothing, full or index, as `pg_class.relreplident` says. */
  readonly identity: 'd' | 'n' | 'f' | 'i'
  /** Columns that an old row carries. */
  readonly identityColumns: readonly string[]
  readonly isUnlogged: boolean
}

/** A partition that holds rows. */
export interface LeafFacts extends IdentityFacts {
  readonly isForeign: boolean
  /** Its part of the index that is its root's identity; null where there is none. */
  readonly rootIndex: string | null
}

/** One table that rules name, as the catalog shows it. */
export interface TableFacts extends IdentityFacts {
  /** Outlives a rename: what the stream tells of it is known by this. */
  readonly oid: number
  readonly kind: 'table' | 'partitioned' | 'view' | 'materialized view' | 'foreign table'
  readonly columns: readonly string[]
  readonly generatedColumns: readonly string[]
  readonly notNullColumns: readonly string[]
  readonly primaryKey: readonly string[]
  readonly isOwned: boolean
  /** Where it is a partition: the table at the top. */
  readonly root: string | null
  /** Tables that inherit from it and are no partitions. */
  readonly children: readonly string[]
  readonly leaves: readonly LeafFacts[]
}
