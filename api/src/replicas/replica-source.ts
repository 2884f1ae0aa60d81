import { isBelowToken, type Cache } from '@lockstep/cache'
import type { TimeSource } from '@lockstep/runtime'
import type { Lsn, Stamp } from '@lockstep/schemas'
import type { ReadSource, SourcedRead } from './read-source.ts'

/** How far a standby has replayed. */
export interface ReplayPosition {
  readonly lsn: Lsn
  /** Generation that the standby itself knows: one on another timeline has not seen it raised. Null without any. */
  readonly generation: number | null
}

/** One connection of a replica: both go over it, in the order asked. */
export interface ReplicaSession<R> {
  /** Null where the server is no standby. */
  position(): Promise<ReplayPosition | null>
  readonly reads: R
}

/** One read replica. */
export interface Replica<R> {
  readonly name: string
  use<T>(work: (session: ReplicaSession<R>) => Promise<T>): Promise<T>
}

/** Why a load went where it did: `replica`, or the primary and why no replica would do. */
export type Choice = 'replica' | 'none-fresh' | 'lagging' | 'overtaken' | 'failed'

/** What chooses replicas. */
export interface ReplicaSourceOptions<R> {
  readonly primary: R
  readonly replicas: readonly Replica<R>[]
  readonly cache: Pick<Cache, 'generation' | 'isOvertaken' | 'replayed' | 'newestStamp'>
  readonly time: TimeSource
  /** A replica further behind is not read, ms: below the contract. */
  readonly maxLagMs: number
  readonly chosen?: ((choice: Choice, replica: string | null) => void) | undefined
  readonly failed?: ((error: unknown, replica: string) => void) | undefined
  /** Takes a replica's reads for the primary's. Tests only: shows what the stamp rule holds. */
  readonly unsafeTrustReplicas?: boolean | undefined
}

/** A standby that was found too far behind is looked at again after this, ms. */
const LOOK_AGAIN_MS = 100
/** One that failed, after this; one that suits, too: another one may have come ahead of it. */
const RETRY_MS = 1_000

interface Standing {
  readonly stamp: Stamp
  readonly ageMs: number
}

interface Candidate<R> {
  readonly replica: Replica<R>
  /** What it was last seen to have reached; null = it did not suit. */
  stamp: Stamp | null
  /** From then on it is asked again before those that are known. */
  lookAt: number
}

type Attempt<V> = { readonly kind: 'read'; readonly value: V | null; readonly stamp: Stamp } | { readonly kind: Choice }

/**
 * Reads from the replica that is furthest ahead, where that is far enough for this load: within the contract, not behind the
 * reader's token, and not behind a fence of what it has read. The value then carries the stamp that the replica was known to
 * have reached *before* the read. Everything else reads the primary.
 */
export class ReplicaSource<R> implements ReadSource<R> {
  readonly #options: ReplicaSourceOptions<R>
  readonly #candidates: readonly Candidate<R>[]

  constructor(options: ReplicaSourceOptions<R>) {
    this.#options = options
    this.#candidates = options.replicas.map((replica) => ({ replica, stamp: null, lookAt: 0 }))
  }

  async load<V>(read: SourcedRead<R, V>): Promise<V | null> {
    const { primary, chosen } = this.#options
    const candidate = this.#choose(read.context.token)
    const attempt = candidate ? await this.#attempt(candidate, read) : { kind: 'none-fresh' as const }
    if (attempt.kind === 'read') {
      chosen?.('replica', candidate?.replica.name ?? null)
      read.context.asOf(attempt.stamp)
      return attempt.value
    }
    chosen?.(attempt.kind, candidate?.replica.name ?? null)
    return read.query(primary)
  }

  /** One that has not been looked at for a while, else the one furthest ahead, where that suits as it was last seen. */
  #choose(token: Stamp | null): Candidate<R> | null {
    const now = this.#options.time.nowMs()
    const due = this.#candidates.find(({ lookAt }) => lookAt <= now)
    if (due) return due
    let best: Candidate<R> | null = null
    for (const candidate of this.#candidates)
      if (candidate.stamp !== null && candidate.stamp > (best?.stamp ?? '')) best = candidate
    return best?.stamp && isAtLeast(best.stamp, token) ? best : null
  }

  async #attempt<V>(candidate: Candidate<R>, read: SourcedRead<R, V>): Promise<Attempt<V>> {
    const { time, failed, unsafeTrustReplicas } = this.#options
    try {
      return await candidate.replica.use(async (session): Promise<Attempt<V>> => {
        const position = await session.position()
        if (unsafeTrustReplicas) return this.#trust(read, session)
        const standing = this.#judge(position)
        candidate.lookAt = time.nowMs() + (standing ? RETRY_MS : LOOK_AGAIN_MS)
        candidate.stamp = standing?.stamp ?? null
        if (!standing || !position || !isAtLeast(standing.stamp, read.context.token)) return { kind: 'lagging' }
        const value = await read.query(session.reads)
        // Again, after the read: time has passed, and fences may have come.
        if (!this.#judge(position)) return { kind: 'lagging' }
        if (this.#options.cache.isOvertaken(read.tagsOf(value), standing.stamp)) return { kind: 'overtaken' }
        return { kind: 'read', value, stamp: standing.stamp }
      })
    } catch (error) {
      candidate.lookAt = time.nowMs() + RETRY_MS
      candidate.stamp = null
      failed?.(error, candidate.replica.name)
      return { kind: 'failed' }
    }
  }

  #judge(position: ReplayPosition | null): Standing | null {
    const { cache, maxLagMs } = this.#options
    if (!position || position.generation === null || position.generation !== cache.generation()) return null
    const standing = cache.replayed(position.lsn)
    return standing && standing.ageMs <= maxLagMs ? standing : null
  }

  async #trust<V>(read: SourcedRead<R, V>, session: ReplicaSession<R>): Promise<Attempt<V>> {
    const stamp = this.#options.cache.newestStamp()
    return stamp === null ? { kind: 'lagging' } : { kind: 'read', value: await read.query(session.reads), stamp }
  }
}

function isAtLeast(stamp: Stamp, token: Stamp | null): boolean {
  return !isBelowToken(stamp, token)
}
