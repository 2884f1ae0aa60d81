import type { PurgeCommand } from '@lockstep/schemas'

/** What an edge said of a purge request. A provider classifies its own answers; the lane decides what follows. */
export type PurgeReply =
  /**
   * Done everywhere the provider answers for. `objects`: how many it removed, null when it does not say; `purgeId`: what
   * it calls the request; `restMs`: its quota is used up, so leave it alone for so long.
   */
  | {
      readonly kind: 'purged'
      readonly objects: number | null
      readonly purgeId?: string
      readonly restMs?: number
    }
  /** Too many requests: none of the keys was purged, and none is refused. */
  | { readonly kind: 'throttled'; readonly retryAfterMs: number | null }
  /** The request itself is at fault (400, 413, 431); none of the keys was purged. */
  | { readonly kind: 'refused'; readonly detail: string }
  /** Credentials or address are wrong (401, 403, 404, redirects): nothing will succeed until an operator acts. */
  | { readonly kind: 'denied'; readonly detail: string }
  /** The outcome is unknown: timeout, broken connection, 5xx. Purging again is harmless. */
  /** `retryWithinMs`: it may be asked again that soon, however long it has been away. */
  | { readonly kind: 'unavailable'; readonly detail: string; readonly retryWithinMs?: number | undefined }

/** One token bucket of a provider. */
export interface RateLimit {
  /** What costs a token: every request, or every key of it. */
  readonly unit: 'requests' | 'keys'
  readonly perSecond: number
  /** Tokens of a full bucket. */
  readonly burst: number
}

/** Bounds of one provider. Vendors change them, so all of them come from configuration. */
export interface PurgeLimits {
  readonly maxKeys: number
  /** Bytes of all keys of a request, each with one separator. */
  readonly maxBytes: number
  /** Requests in flight at most; what arrives meanwhile becomes the next batch. */
  readonly concurrency: number
  /** All must have tokens; none means that the provider is as fast as it answers. */
  readonly rates: readonly RateLimit[]
}

/** What one look at the budget brought. */
export interface Grant {
  /** Keys that may be sent now in one request, at most as many as wanted; 0: come back in `waitMs`. */
  readonly keys: number
  readonly waitMs: number
  /** Share of the emptiest bucket that is left, 0–1. */
  readonly fill: number
}

/** The token buckets of one provider, shared by all purger processes. */
export interface RateBudget {
  /** Takes the tokens of one request of up to `wanted` keys, or none. */
  take(wanted: number): Promise<Grant>
  /** Has nobody take anything for `ms`: the provider said so. */
  pause(ms: number): Promise<void>
  close(): Promise<void>
}

/** One cache tier that can purge by surrogate key. */
export interface EdgeProvider {
  /** Unique among the tiers; a metric label. */
  readonly name: string
  readonly limits: PurgeLimits
  /** Purges all keys or none; idempotent. Rejects only when `signal` aborts. Unknown keys are no fault. */
  purge(keys: readonly string[], signal: AbortSignal): Promise<PurgeReply>
  /** Removes everything; idempotent. Rejects only when `signal` aborts. */
  purgeAll(signal: AbortSignal): Promise<PurgeReply>
  close(): Promise<void>
}

/** How far one process has applied the bus. */
export interface ProcessAck {
  readonly process: string
  readonly busId: string
  /** Redis' time of the acknowledgement, ms. */
  readonly atMs: number
}

/** All acknowledgements and Redis' own time, read in one step. */
export interface AckView {
  readonly nowMs: number
  readonly acks: readonly ProcessAck[]
}

/** Where processes say how far they have applied the bus. */
export interface ProcessAcks {
  /** Rejects when the store cannot be read in time; the caller then waits for its deadline. */
  read(): Promise<AckView>
  /** Calls back when a process has acknowledged. A hint that may be lost: what waits also reads now and then. */
  onHint(listener: () => void): void
  close(): Promise<void>
}

/** Lanes for work that does not come from the log: a replay of journaled purges, or an operator's own. */
export type OrderLane = 'replay' | 'manual'

/** One purge that somebody asks for outside the log. */
export interface PurgeOrder {
  /** Its `busId` is not waited for: orders do not pass the barrier. */
  readonly command: PurgeCommand
  /** Who asked; journaled. */
  readonly actor: string
  /** The replay it belongs to; journaled. */
  readonly replayOf: string | null
}

/** How an order ended. */
export type OrderOutcome =
  /** Every tier has purged the tag, and once more after reboundMs, with this command or a newer one. */
  | { readonly kind: 'purged' }
  /** At least one provider refuses the key for good. */
  | { readonly kind: 'refused'; readonly provider: string; readonly detail: string }

/** Where orders come in. Nothing here is durable: what had not ended when the purger stopped is to be submitted again. */
export interface PurgeIntake {
  /**
   * Queues one purge behind the live ones, by the weight of its lane, and resolves when it has ended; rejects when the
   * purger stops first. The caller bounds how many it leaves outstanding.
   */
  submit(lane: OrderLane, order: PurgeOrder): Promise<OrderOutcome>
}
