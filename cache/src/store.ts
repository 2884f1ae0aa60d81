import type { BusFence, Stamp, Tag } from '@lockstep/schemas'

/** A fence as Redis holds it. */
export interface FenceRecord {
  readonly stamp: Stamp
  /** Unique per creation of the record: a record that was lost and made anew is another one. */
  readonly incarnation: string
}

/** A wish to load a key. `holder` must be unique per attempt. */
export interface LeaseRequest {
  readonly key: string
  readonly holder: string
  readonly stamp: Stamp
  readonly leaseMs: number
}

/** The answer to a lease request. */
export interface LeaseReply {
  /** The lease's exact text when it is ours, else null. */
  readonly lease: string | null
  /**
   * The own fence, always there where the lease is ours, made to outlive it where there was none: the load's stamp is the greater of it and the stamp asked with, and
   * the value may name its incarnation.
   */
  readonly fence: FenceRecord | null
  /** The stored value, read *after* the lease: a holder that stored in between is not loaded again. */
  readonly value: string | null
  /** See `TouchReply.evictionMark`. */
  readonly evictionMark: string
}

/** The answer to a touch of several fences. */
export interface TouchReply {
  /** In the order of the tags; null where a fence newer than the stamp refused. */
  readonly incarnations: readonly (string | null)[]
  /** The fences that refused. */
  readonly newer: readonly { readonly tag: Tag; readonly stamp: Stamp }[]
  /** Equal marks at lease and touch: no fence was evicted in between. Constant where the server never evicts. */
  readonly evictionMark: string
}

/** A value to store under a lease. */
export interface StoreRequest {
  readonly key: string
  readonly lease: string
  /** As `encodeValue` writes it. */
  readonly value: string
  readonly ttlMs: number
  /** Least life of the own fence from now on: longer than that of the value. */
  readonly fenceMs: number
}

/** Fences, and what whoever answered them knows. */
export interface FencesReply {
  /** One answer per tag, in order. */
  readonly records: readonly (FenceRecord | null)[]
  /**
   * The watermark of that node, read before its fences: every change that it sees is in them. '' where there is none. A
   * promoted replica may be behind what this process has heard on another connection.
   */
  readonly appliedUpTo: Stamp | ''
}

/** Reads values and fences; no call changes anything. */
export interface ValueReader {
  value(key: string): Promise<string | null>
  fences(tags: readonly Tag[]): Promise<FencesReply>
}

/** The reader's writing half: every call touches only slots of one key or tag and may be lost without harm. */
export interface FillStore {
  lease(request: LeaseRequest): Promise<LeaseReply>
  /** Makes every fence exist for at least `longMs`, unless one is newer than `stamp`. */
  touch(tags: readonly Tag[], stamp: Stamp, longMs: number): Promise<TouchReply>
  /** Stores only while exactly this lease is held, and drops it. Tells whether it did. */
  store(request: StoreRequest): Promise<boolean>
  /** Drops exactly this lease, so that waiters need not sit out its life. */
  release(key: string, lease: string): Promise<void>
}

/** A wish for the lease of a load that begins before it is granted. */
export interface ClaimRequest extends Omit<LeaseRequest, 'leaseMs'> {
  /** Redis' time, ms, at which the lease ends: its life counts from the begin of the load, so that fences outlive both. */
  readonly untilMs: number
}

/** Raises fences on the write path. */
export interface FenceRaiser {
  /** Raises fences of plain tags to at least their stamps, for at least `shortMs`, and unlinks what they cover. */
  apply(fences: readonly { readonly tag: Tag; readonly stamp: Stamp }[], shortMs: number): Promise<void>
  /**
   * Asks for the lease of a key whose fence was given to `apply` and has not left yet: both take effect in one step, so nobody
   * takes the lease between them and the load may begin at once. Not granted where a fence is newer than the stamp. Null,
   * at once, where no such fence waits or the server may evict fences.
   */
  claim(request: ClaimRequest): Promise<LeaseReply> | null
}

/** All of `w` at one instant. */
export interface Attachment {
  readonly generation: number
  /** Greatest fence applied when the tail began. */
  readonly start: Stamp
  readonly everything: Stamp
  /** Class → fence. */
  readonly classes: ReadonlyMap<string, Stamp>
  /** Minimum watermark stamp over all partitions; '' unless every one has delivered a watermark. */
  readonly watermark: Stamp | ''
  /** Minimum echo (µs) over all partitions; '' likewise. */
  readonly echo: string
  /** Nonce and id of the newest bus entry. */
  readonly nonce: string
  readonly id: string
}

/** A bus entry as the tail reads it. */
export interface BusMessage {
  readonly id: string
  readonly nonce: string
  readonly predecessor: string
  readonly fences: readonly BusFence[]
  readonly watermark: Stamp | ''
  readonly echo: string
  /** `X/Y`: every commit that `watermark` sees lies below it. '' or absent where the entry does not tell. */
  readonly lsn?: string | undefined
}

/** Feeds the tail. */
export interface BusReader {
  /** Answers where a tail begins; null without `w`. */
  attach(): Promise<Attachment | null>
  /** Waits at most `blockMs` for entries behind `after`; rejects when the connection is lost. */
  read(after: string, blockMs: number): Promise<readonly BusMessage[]>
  /** Reports the last applied entry of a process, with Redis' own time; answers how many processes do. */
  ack(processId: string, id: string): Promise<number>
  /** Withdraws a process. */
  withdraw(processId: string): Promise<void>
}

/** Numbers explicit invalidations where no pipeline does, in an order that all processes share. */
export interface Sequencer {
  /** Draws a stamp later than every one drawn before; begins the sequence where there is none. */
  draw(): Promise<Stamp>
  /** Tells every process of fences that were applied; false where the sequence was begun anew since the stamp was drawn. */
  publish(stamp: Stamp, fences: readonly BusFence[]): Promise<boolean>
  /** Vouches for everything published so far, unless that was done less than `intervalMs` ago; begins the sequence too. */
  beat(intervalMs: number): Promise<void>
}

/** Redis as a reading process uses it, or what stands in for it. */
export interface CacheStore {
  readonly values: ValueReader
  readonly fills: FillStore
  readonly fences: FenceRaiser
  readonly bus: BusReader
  readonly sequencer: Sequencer
  /** Reads Redis' own clock, µs since the Unix epoch. */
  timeUs(): Promise<bigint>
  connect(): Promise<void>
  close(): Promise<void>
}
