import type { BusFence, Lsn, Stamp } from '@lockstep/schemas'
import type { Redis } from 'ioredis'
import type { KeyEventKind } from './key-events.ts'
import type { EvictionPolicy } from './l1/eviction.ts'
import type { CacheStore } from './store.ts'

export type { EvictionPolicy, KeyEventKind }

/** Where a value came from: this process, Redis, an own load, another reader's load, or (opted in) past its contract. */
export type Layer = 'l1' | 'l2' | 'load' | 'coalesced' | 'stale'

/** Turns values into text and back; JSON unless told otherwise. `decode(encode(v))` is what readers get. */
export interface Codec<V> {
  encode(value: V): string
  decode(text: string): V
}

/** What a loader is told. */
export interface LoadContext {
  /** Stamp the value will carry; null while the process has learned none, in which case nothing is stored. */
  readonly stamp: Stamp | null
  /** What the reader demands: a value read at an older stamp will not do. Only of weight for who reads elsewhere than the primary. */
  readonly token: Stamp | null
  /** Aborts at `loadTimeoutMs` and when the cache stops. */
  readonly signal: AbortSignal
  /**
   * Says that the value was made of something read at this stamp, such as another entry's value: the older of the two is
   * what the value will carry. Null = of something nobody vouches for: nothing is stored.
   */
  readonly asOf: (stamp: Stamp | null) => void
}

/** Bounds of a memory of this process, and who leaves when it is full. */
export interface LocalOptions {
  /** Default 64 MiB. */
  readonly maxBytes?: number | undefined
  /** No bound unless given. */
  readonly maxEntries?: number | undefined
  /** `lru` unless given. */
  readonly policy?: EvictionPolicy | undefined
}

/** When a value is loaded anew although it has not ended, in the background and by one process. */
export type RefreshAhead =
  /** From this share of its time to live on, 0 < share < 1. */
  | { readonly eager: number }
  /** At random, the likelier the nearer its end and the slower its load (XFetch); 1 is the usual β. */
  | { readonly xfetch: number }

/** Describes one kind of cached value. */
export interface EntryDefinition<Args, V> {
  /** Names the value, `class:rest`; it is also the value's own tag, so it must be unique among all entries. */
  key(args: Args): string
  /** Reads the value from the primary, beginning its statement only when called; null = there is none. */
  load?(args: Args, context: LoadContext): Promise<V | null>
  /**
   * Reads many values at once, one answer per question and in order; used by `getMany`, and by `get` where there is no
   * `load`, for all that is missed within one turn. Each value is stamped and fenced for itself; what `asOf` says holds for all.
   */
  loadMany?(args: readonly Args[], context: Omit<LoadContext, 'token'>): Promise<readonly (V | null)[]>
  /** Names everything else the value depends on; also asked for an absent value. */
  tags(value: V | null, args: Args): readonly string[]
  readonly ttlMs: number
  /** Share of the time to live that is taken off at random, 0 ≤ share < 1, so that what began together ends apart. */
  readonly ttlJitter?: number | undefined
  /** Contract of this entry, ms; the cache's unless given. */
  readonly maxStalenessMs?: number | undefined
  /** How long "there is none" is kept, ms; `ttlMs` unless given, 0 = not at all. */
  readonly negativeTtlMs?: number | undefined
  /**
   * How long behind its end a value that nothing contradicts is still served while it is loaded anew
   * (stale-while-revalidate), and where that fails, ms. Fences and contract hold all the same. Default 0.
   */
  readonly graceMs?: number | undefined
  /** How long a reader waits for the new value before it takes one in its grace, ms. Default 0: it takes that at once. */
  readonly softTimeoutMs?: number | undefined
  /** How long a load may run, ms; the cache's unless given, which is the most. */
  readonly loadTimeoutMs?: number | undefined
  readonly refreshAhead?: RefreshAhead | undefined
  /**
   * Loads in a row that may fail before the next are refused for a moment (100 ms, then longer up to 2 s). Default 20;
   * `Infinity` = never refuse.
   */
  readonly breakerFailures?: number | undefined
  readonly codec?: Codec<V> | undefined
  /** Texts of at least this many characters are stored in Redis deflated. Off unless given. */
  readonly compressAbove?: number | undefined
  /** `shared` hands the same object to every reader, `frozen` makes it deeply immutable, `cloned` gives each a copy. */
  readonly values?: 'shared' | 'frozen' | 'cloned' | undefined
  /** A memory of its own for this entry, with its own bounds and policy; the cache's shared one unless given. */
  readonly l1?: LocalOptions | undefined
  /**
   * Which values from Redis enter L1: all, or those of keys that were read from there not long before, so that a scan
   * of cold keys pushes no hot one out. Default `always`.
   */
  readonly promote?: 'always' | 'hot' | undefined
  /** Bytes a value takes in memory; twice the length of its text unless given. */
  size?(value: V | null): number
}

/** How one read may be answered. */
export interface ReadOptions {
  /** Accept nothing older. Only from an own commit or a *verified* token: the process learns it. */
  readonly token?: Stamp | null | undefined
  /** Where the loader fails or is overloaded, answer a value past its contract, labelled `stale`. */
  readonly allowStale?: boolean | undefined
}

/** A value and what is known about it. Treat `value` as immutable: readers share it. */
export interface ReadResult<V> {
  readonly value: V | null
  /** Null only where the process has learned no stamp. */
  readonly stamp: Stamp | null
  /** The own tag first. */
  readonly tags: readonly string[]
  readonly layer: Layer
  /** Time since the value was loaded, ms. */
  readonly ageMs: number
  /** Whether the value is in Redis now, as far as this read knows. */
  readonly stored: boolean
  readonly stale: boolean
}

/** Reads one kind of value. */
export interface Entry<Args, V> {
  readonly name: string
  /** Answers the value only. @throws CacheError, or what the loader throws. */
  get(args: Args, options?: ReadOptions): Promise<V | null>
  /** Answers the value with its stamp, tags and layer. @throws as `get`. */
  read(args: Args, options?: ReadOptions): Promise<ReadResult<V>>
  /** As `read`, but from L1 only and without waiting; undefined = it is not there. Counts a hit. */
  readLocal(args: Args, options?: ReadOptions): ReadResult<V> | undefined
  /** Answers many values in order; what is missing is loaded together where there is a `loadMany`. @throws as `get`. */
  getMany(args: readonly Args[], options?: ReadOptions): Promise<(V | null)[]>
  /** Looks into L1 only, within the contract, without waiting; undefined = not there. Counts no hit and moves nothing. */
  peek(args: Args): V | null | undefined
  /** Loads the value now, whatever the layers hold, and puts it into them. @throws as `get`. */
  refresh(args: Args): Promise<V | null>
  /**
   * Writes through: runs the change, fences the own tag and `tags` with the stamp that it answers (of a snapshot taken after
   * its commit; without one as `Cache.invalidate`), and refills the layers by the loader. @throws what the change throws.
   */
  write(args: Args, change: () => Promise<Stamp | void>, tags?: readonly string[]): Promise<V | null>
  /** Invalidates the value by its own tag; see `Cache.invalidate`. */
  invalidate(args: Args, stamp?: Stamp): Promise<void>
}

/**
 * Called after a bus entry took effect in this process, and with a fence of `*` and no bus id when everything local was
 * flushed. A commit time of 0 means that the fence came from no change, so there is no latency to measure.
 */
export type InvalidationListener = (fences: readonly BusFence[], busId: string) => void

/** Switches protections off so that tests can show what each of them holds. Never for production. */
export interface UnsafeSwitches {
  /** Ignores every fence: bus entries evict nothing, values are not compared with fences, touches not honoured. */
  readonly ignoreFences?: boolean | undefined
  /** Serves L1 and L2 however old the applied watermark is. */
  readonly ignoreFreshness?: boolean | undefined
  /** Loads without a lease, one load per process instead of one. */
  readonly noLease?: boolean | undefined
  /** Does not compare a bus entry's predecessor with the entry read before. */
  readonly ignoreGaps?: boolean | undefined
  /** Promotes from Redis to L1 without asking the mirror. */
  readonly blindPromotion?: boolean | undefined
  /** Takes fences from a Redis that has not applied all that this process has heard of, as a promoted replica may. */
  readonly believeAnyNode?: boolean | undefined
  /** Shares any load in flight with any reader. */
  readonly shareAnyFlight?: boolean | undefined
  /** Reads the stamp after the load instead of before it. */
  readonly stampAfterLoad?: boolean | undefined
  /** Keeps the clock mapping over a jump of the wall clock. */
  readonly ignoreClockJump?: boolean | undefined
}

/**
 * Who tells the layers of changes. `log`: the pipeline, of every commit; no write can bypass it. `explicit`: callers of
 * `invalidate` and `write` only, in every process and without races; what nobody invalidates lives to its end.
 */
export type Coherence = 'log' | 'explicit'

/** Options of `createCache`. */
export interface CacheOptions {
  /**
   * A URL (of a node, `redis+sentinel://HOST:PORT,…/MASTER` or `redis+cluster://HOST:PORT,…`), a client of a node or of Sentinel
   * (only its connection options are used: the cache opens its own), or null for no Redis at all.
   */
  readonly redis: { readonly url: string } | Redis | null
  /** The database's name; prefixes every key. Default `app`. */
  readonly namespace?: string | undefined
  /** Default `log` with Redis, which needs the pipeline; `explicit` without. */
  readonly coherence?: Coherence | undefined
  /**
   * Runs `select pg_current_snapshot()::text` on the primary. With it `invalidate`, `write` and `token` need no stamp from
   * their callers under `log`. Must not run inside a transaction that has begun before.
   */
  readonly snapshot?: (() => Promise<string>) | undefined
  /** Contract, ms. Default 5,000. */
  readonly maxStalenessMs?: number | undefined
  readonly l1?: LocalOptions | undefined
  /** Loads that may run at once in this process. Default 20. */
  readonly maxConcurrentLoads?: number | undefined
  /** How long a load may wait for its turn, ms. Default 1,000. */
  readonly loadQueueMs?: number | undefined
  /** How long a load may run, ms, and so how long its lease lives. Default 10,000, at most 20,000. */
  readonly loadTimeoutMs?: number | undefined
  /** How long a reader waits for another process' load before it loads itself, ms. Default 2,000. */
  readonly leaseWaitMs?: number | undefined
  /** Recent fences remembered. Default 100,000. */
  readonly mirrorMaxFences?: number | undefined
  /** Default 100. */
  readonly commandTimeoutMs?: number | undefined
  /** Must be the least fence life the invalidator uses, ms. Default 30,000. */
  readonly shortFenceMs?: number | undefined
  /** Name in the acks hash; must be unique. Default random. */
  readonly processId?: string | undefined
  /** Told of state changes and swallowed failures. */
  readonly events?: CacheEvents | undefined
  /** Takes the place of Redis; for tests and for a process that has none. */
  readonly store?: CacheStore | undefined
  readonly clock?: CacheClock | undefined
  /** 0 ≤ x < 1; jitters polling. */
  readonly random?: (() => number) | undefined
  /** Keys whose last 32 events are kept for `explain`, some 800 bytes each. Default 1,000; 0 = none. */
  readonly explainKeys?: number | undefined
  readonly unsafe?: UnsafeSwitches | undefined
}

/** Observers; all optional. A throwing observer is the caller's bug and is not caught. */
export interface CacheEvents {
  /** The tail attached, after a flush of L1 and mirror. */
  readonly attached?: ((position: string) => void) | undefined
  /** The bus had a gap, or a new generation began. */
  readonly flushed?: ((reason: string) => void) | undefined
  /** A failure that the cache lived through. */
  readonly failed?: ((error: unknown, doing: string) => void) | undefined
}

/** The two clocks of this process, and how it waits. */
export interface CacheClock {
  /** Monotonic ms. */
  now(): number
  /** Wall clock, ms since the Unix epoch: only compared with the monotonic clock, to notice a suspended machine. */
  wall(): number
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** Counters since start, and sizes now. */
export interface CacheStats {
  readonly l1Hit: number
  /** L1 hits answered while the value was due for a new load. */
  readonly graced: number
  /** Loads begun behind the backs of readers. */
  readonly refreshes: number
  readonly l2Hit: number
  /** Reads that found nothing valid and began a load or waited for another process' load. */
  readonly miss: number
  readonly loads: number
  readonly loadFailed: number
  /** Readers that shared another reader's work. */
  readonly coalesced: number
  /** Reads that skipped both layers because nothing vouched for them. */
  readonly bypass: number
  readonly stored: number
  /** Fills that a fence, a lost lease or an eviction kept out of Redis. */
  readonly rejected: number
  readonly stale: number
  readonly overloaded: number
  readonly redisErrors: number
  /** Entries removed from L1 by fences. */
  readonly evicted: number
  readonly flushes: number
  readonly attaches: number
  readonly l1Entries: number
  readonly l1Bytes: number
  readonly mirrorFences: number
  readonly loadsInFlight: number
  /** Last applied bus id; null before the first attach. */
  readonly tailPosition: string | null
  readonly tailAttached: boolean
}

/** What one layer holds of a key. Ages and ends in ms; null where it is not known. */
export interface LayerExplanation {
  readonly stamp: Stamp | null
  readonly ageMs: number | null
  /** Negative: its time to live is over. */
  readonly endsInMs: number | null
  /** Each tag with the fence known for it, and (in Redis) the incarnation it was filled under. */
  readonly fences: readonly {
    readonly tag: string
    readonly filledUnder: string | null
    readonly fence: Stamp | null
  }[]
  readonly isValid: boolean
  /** Why, in words. */
  readonly reason: string
}

/** Where a key is and why; for people. Holds no values. */
export interface Explanation {
  readonly key: string
  readonly generation: number | null
  readonly newestStamp: Stamp | null
  /** From this stamp on the process judges by itself; null = not attached. */
  readonly mirrorStart: Stamp | null
  readonly freshnessAgeMs: number | null
  readonly maxStalenessMs: number
  readonly l1: LayerExplanation | null
  readonly redis: LayerExplanation | null
  /** The last 32 events of the key in this process, oldest first. */
  readonly events: readonly { readonly kind: KeyEventKind; readonly agoMs: number; readonly stamp: string | null }[]
}

/** The cache of one process for one database. */
export interface Cache {
  /** The contract, ms. */
  readonly maxStalenessMs: number
  readonly coherence: Coherence
  /** Connects and attaches the tail. Resolves after the first attempt, also when Redis is down. */
  start(): Promise<void>
  stop(): Promise<void>
  define<Args, V>(name: string, definition: EntryDefinition<Args, V>): Entry<Args, V>
  /**
   * Invalidates from the write path, after the commit. Under `log`: learns the stamp (of a snapshot taken after the commit;
   * asked of `snapshot` unless given) and fences the tags here and in Redis; other processes hear of it through the log.
   * Under `explicit`: fences tags and classes in every process; a stamp is not needed and not used.
   * @throws CacheError when Redis did not answer; under `log` the own layers are done then, under `explicit` repeat the call.
   */
  invalidate(tags: readonly string[], stamp?: Stamp): Promise<void>
  /**
   * Answers the stamp of now: a read that gets it as its token sees every change committed before this call. Hand it to
   * clients signed (`signToken`) only. @throws CacheError without `snapshot` under `log`, or where nothing is attached yet.
   */
  token(): Promise<Stamp>
  /** Tells where a key is, its stamp and fences, why it is valid or not, and its last events. Changes nothing. */
  explain(key: string): Promise<Explanation>
  /** Takes note of a snapshot of the primary: from an own commit or a verified token, never from an untrusted client. */
  learn(stamp: Stamp): void
  newestStamp(): Stamp | null
  /** Generation of the epoch as this process knows it; null before the first attach. */
  generation(): number | null
  /**
   * What a hot standby that has replayed the log up to `lsn` is known to see, by the heartbeats of the bus: the stamp for what
   * is read from it, and how old that is. Ask the standby *before* the read, on the connection that reads. Null where no
   * heartbeat tells, or where the stamp is too old for this process to judge: read the primary.
   */
  replayed(lsn: Lsn): { readonly stamp: Stamp; readonly ageMs: number } | null
  /** Age of what this process has applied, ms; null = cannot vouch. */
  freshnessAgeMs(): number | null
  /** Whether one of the tags was, or may have been, fenced within the last `ms`. */
  fencedWithin(tags: readonly string[], ms: number): boolean
  /** Whether a fence newer than the stamp is known for one of the tags: what was read at that stamp is from before a change. */
  isOvertaken(tags: readonly string[], stamp: Stamp): boolean
  stats(): CacheStats
  /** Listens to applied bus entries; call the result to stop. */
  onInvalidated(listener: InvalidationListener): () => void
}
