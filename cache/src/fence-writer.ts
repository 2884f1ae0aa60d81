import type { BusFence, Stamp } from '@lockstep/schemas'

/** A watermark as a batch brings it. */
export interface AppliedWatermark {
  readonly stamp: Stamp
  readonly echo: string
  readonly partitions: number
  /** Its LSN, `X/Y`; what reads replicas needs it. */
  readonly lsn?: string | undefined
}

/** One applied batch of one partition of the change log: records `from` … `to − 1`. */
export interface AdvanceBatch {
  readonly partition: number
  readonly from: bigint
  readonly to: bigint
  /** Plain and class tags and `*`; `FENCES_PER_ADVANCE` is how many should go in one. */
  readonly fences: readonly BusFence[]
  /** The last watermark of the batch, if it held one. */
  readonly watermark?: AppliedWatermark | undefined
}

/**
 * `applied`: everything took effect as bus entry `busId`. The others raised the fences of plain tags and changed nothing
 * else: `absent` = Redis holds no `w`, a new generation is needed; `unknown` = this partition's flush was not opened yet; `stands` = go on from `offset` instead.
 * `outdatedBy`: the newest stamp of the batch is of an older generation than this one, which `w` holds. Its fences cover
 * nothing that was filled since, and its watermark was passed over.
 */
export type AdvanceReply =
  | { readonly kind: 'applied'; readonly busId: string; readonly outdatedBy?: number | undefined }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'stands'; readonly offset: bigint }

/** A Flush record as one partition met it; `next` is the offset behind it. */
export interface OpenRequest {
  readonly generation: number
  readonly partition: number
  readonly next: bigint
  readonly partitions: number
  /**
   * The caller has met its generation, or a newer one, before it in the partition. What lies between is not covered, so it
   * begins nothing and places nothing; within its generation it moves a position that stands exactly at it, as a record
   * does. A caller that begins in between cannot know: the connector sends nothing of a generation between two sendings of its flush.
   */
  readonly isRepeated?: boolean | undefined
}

/**
 * `opened`: this call began the generation and fenced `*`. `joined`: it had begun; a partition that was not in it now is.
 * `older`: `w` belongs to this newer generation; at most a position that stood exactly at the flush moved past it.
 * `busId` is an entry at or behind the flush. `absent`: a repeated flush found no `w`, or one of an older generation.
 */
export type OpenReply =
  | { readonly kind: 'opened' | 'joined'; readonly busId: string }
  | { readonly kind: 'older'; readonly busId: string; readonly generation: number }
  | { readonly kind: 'absent' }

/**
 * The writer's half of the fence protocol. Every call may be repeated and reordered with others' calls; a rejection
 * means that the outcome is unknown, so the caller repeats it before it commits.
 */
export interface FenceWriter {
  /**
   * Raises all fences, unlinks what they cover and moves the partition's position, the watermark and the bus in one atomic
   * step, or refuses. One step, because a failover that took fences and left the position would lose them for good.
   */
  advance(batch: AdvanceBatch): Promise<AdvanceReply>
  /** Begins or joins a generation; only this creates `w`. */
  open(flush: OpenRequest): Promise<OpenReply>
  /** Reads Redis' own clock, µs since the Unix epoch. */
  redisTimeUs(): Promise<bigint>
}

/**
 * The longest a lease may live, ms. A fence must outlive every lease that was alive when it was raised, else a load from
 * before the change could be stored once the fence is gone.
 */
export const MAX_LEASE_MS = 20_000

/**
 * So many hold up Redis for about 1 ms. With one call of a partition at a time a backlog of four went at 106,000 tags/s with 64,
 * at 123,000 with 192 and with 256, at 146,000 with 500; with four at a time at 140,000 with 192.
 */
export const FENCES_PER_ADVANCE = 192

/** Default least life of a fence, ms: the longest lease and half as much again for a slow script. */
export const DEFAULT_SHORT_FENCE_MS = 30_000

/**
 * Bus entries kept, approximately: about ten minutes at one batch per 50 ms, 15 s of a backlog at full speed; a tail that is
 * further behind flushes anyway.
 */
export const BUS_MAX_ENTRIES = 12_000
