import type { Stamp } from '@lockstep/schemas'
import { Bulk } from './bulk.ts'
import { accept, isVouchedFor, type Accepted, type Demand } from './candidate.ts'
import { survived, track, type CacheContext } from './context.ts'
import { declareTags } from './dependencies.ts'
import { CacheError } from './errors.ts'
import { dropLease, storeFill, type Fill, type Filled } from './fill.ts'
import type { Flight } from './flight.ts'
import type { Kind } from './kind.ts'
import { runLoader, type Late } from './loader.ts'
import { type Arrival, type Outcome } from './outcome.ts'
import type { LeaseReply } from './store.ts'
import type { LoadContext } from './types.ts'

const POLL_FIRST_MS = 5
const POLL_LONGEST_MS = 8
const POLL_GROWTH = 1.5

/** A right to store: the lease, and what came with it. */
interface Held {
  readonly lease: string
  /** Of the own fence. */
  readonly incarnation: string
  readonly evictionMark: string
}

/** A right to store, or the answer to come whether there is one. */
type Holding = Held | Promise<Held | null> | null

function heldOf(reply: LeaseReply): Held | null {
  const { lease, fence, evictionMark } = reply
  return lease === null ? null : { lease, incarnation: fence?.incarnation ?? '', evictionMark }
}

/** What a loader is told; few ask for the signal, so it is made when they do. */
class Loading implements LoadContext {
  readonly stamp: Stamp | null
  readonly token: Stamp | null
  readonly asOf: LoadContext['asOf']
  readonly #late: Late

  constructor({ stamp, token, asOf }: Omit<LoadContext, 'signal'>, late: Late) {
    this.stamp = stamp
    this.token = token
    this.asOf = asOf
    this.#late = late
  }

  get signal(): AbortSignal {
    return this.#late.signal
  }
}

/** What one flight works on. */
export interface Work<Args> {
  readonly flight: Flight
  readonly reader: Arrival
  readonly args: Args
  /** Ask `loadMany` together with others. */
  readonly isBulk: boolean
}

/** Brings one kind of value from Redis or the loader; see docs/architecture.md for the order of steps. */
export class ReadThrough<Args, V> {
  readonly #context: CacheContext
  readonly #kind: Kind<Args, V>
  readonly #bulk: Bulk<Args, V>

  constructor(context: CacheContext, kind: Kind<Args, V>) {
    this.#context = context
    this.#kind = kind
    this.#bulk = new Bulk((args, { stamp, asOf }) =>
      runLoader(context, kind, async (late) => {
        return (await kind.definition.loadMany?.(args, new Loading({ stamp, token: null, asOf }, late))) ?? []
      }),
    )
  }

  /** Reads a value that L1 does not have: from Redis if that is valid, else by the loader, once in the fleet. */
  async fly(work: Work<Args>): Promise<Outcome> {
    const { admission, counters, store, unsafe } = this.#context
    const isVouched = isVouchedFor(this.#context, this.#kind.maxStalenessMs)
    if (!isVouched) counters.bypass += 1
    const demand = this.#demand(work.reader, this.#kind.graceMs)
    // What was fenced a moment ago is rarely in Redis again: the lease, which comes with the value, is asked for at once.
    const isLikelyGone = this.#context.knowledge.mirror.wasRaisedAfter(work.reader.key, work.reader.at - LIKELY_GONE_MS)
    if (isVouched && store && (!isLikelyGone || admission.isFull)) {
      const judged = accept(this.#context, await this.stored(work.reader.key), demand)
      const accepted = judged instanceof Promise ? await judged : judged
      const promoted = accepted && this.#promote(work.reader.key, accepted)
      if (promoted) return promoted
    }
    counters.miss += 1
    if (unsafe.noLease) return this.#load(work, null)
    const claim = isLikelyGone ? this.#claim(work.reader.key) : null
    if (claim) return await this.#load(work, claim)
    return await this.#lead(work, { demand, canWait: isVouched })
  }

  /** Loads although a value may be there; waits for another process' load to end, but takes nothing from it. */
  async reload(work: Work<Args>): Promise<Outcome> {
    return this.#lead(work, { demand: null, canWait: true })
  }

  /**
   * Loads a value anew that is still served: by one process of the fleet. Takes what another has loaded since `knownAt`
   * (monotonic ms); null when another one is loading.
   */
  async renew(work: Work<Args>, knownAt: number): Promise<Outcome | null> {
    const reply = await this.#lease(work.reader.key)
    if (!reply) return this.#load(work, null)
    const accepted = await accept(this.#context, reply.value, this.#demand(work.reader, 0))
    const isNewer = accepted !== null && this.#loadedAt(accepted) > knownAt + RENEWED_BY_MS
    const promoted = isNewer ? this.#promote(work.reader.key, accepted) : null
    const held = heldOf(reply)
    if (held === null) return promoted
    if (!promoted) return this.#load(work, held)
    dropLease(this.#context, work.reader.key, held.lease)
    return promoted
  }

  /** Text of the value in Redis; null where there is none or Redis fails. */
  async stored(key: string): Promise<string | null> {
    try {
      return (await this.#context.store?.values.value(key)) ?? null
    } catch (error) {
      survived(this.#context, error, 'reading a value')
      return null
    }
  }

  #demand(reader: Arrival, graceMs: number): Demand {
    return { token: reader.token, maxStalenessMs: this.#kind.maxStalenessMs, graceMs }
  }

  /** Takes the lease and loads, or waits for the holder's value; loads without a lease where neither comes about. */
  async #lead(work: Work<Args>, how: { demand: Demand | null; canWait: boolean }): Promise<Outcome> {
    const { admission, clock, limits, random, signal } = this.#context
    const { key } = work.reader
    // Before the lease: who cannot load anyway should not keep others from it, and costs Redis nothing.
    admission.check()
    const deadline = clock.now() + limits.leaseWaitMs
    for (let pollMs = POLL_FIRST_MS; ; pollMs = Math.min(POLL_LONGEST_MS, pollMs * POLL_GROWTH)) {
      const reply = await this.#lease(key)
      if (!reply) return this.#load(work, null)
      const accepted = how.demand && (await accept(this.#context, reply.value, how.demand))
      const promoted = accepted && this.#promote(key, accepted)
      if (promoted) {
        if (reply.lease !== null) dropLease(this.#context, key, reply.lease)
        return promoted
      }
      const held = heldOf(reply)
      if (held) return await this.#load(work, held)
      if (!how.canWait || clock.now() >= deadline) return this.#load(work, null)
      await clock.sleep(pollMs * (0.75 + random() / 2), signal)
      if (signal.aborted) throw new CacheError('LOCKSTEP_CACHE_STOPPED', 'the cache stopped while a read waited')
    }
  }

  async #lease(key: string): Promise<LeaseReply | null> {
    const { store, knowledge, limits, nonce } = this.#context
    const stamp = knowledge.newest
    if (!store || stamp === null) return null
    try {
      const reply = await store.fills.lease({ key, holder: nonce(), stamp, leaseMs: limits.leaseMs })
      if (reply.fence) knowledge.learn(reply.fence.stamp)
      return reply
    } catch (error) {
      survived(this.#context, error, 'taking a lease')
      return null
    }
  }

  /**
   * Asks for the lease together with a fence that this process is about to raise: the load need not wait for the answer. Null
   * where no such fence waits.
   */
  #claim(key: string): Promise<Held | null> | null {
    const { admission, clock, store, freshness, knowledge, limits, nonce } = this.#context
    const stamp = knowledge.newest
    const redisMs = freshness.redisAtLeastMs(clock.now())
    if (!store || stamp === null || redisMs === null || admission.isFull) return null
    const holder = nonce()
    const claimed = store.fences.claim({ key, holder, stamp, untilMs: redisMs + limits.leaseMs })
    if (!claimed) return null
    return claimed.then(
      (reply) => {
        if (reply.fence) knowledge.learn(reply.fence.stamp)
        return heldOf(reply)
      },
      (error: unknown) => {
        survived(this.#context, error, 'claiming a lease')
        // It may have been granted all the same.
        dropLease(this.#context, key, `${stamp}:${holder}`)
        return null
      },
    )
  }

  async #load(work: Work<Args>, held: Holding): Promise<Outcome> {
    const { knowledge, counters, clock } = this.#context
    const { flight, reader, args } = work
    // Fixed before the load begins: whatever this stamp sees, the load sees.
    const loading = { stamp: knowledge.newest, sequence: knowledge.ring.sequence, at: clock.now() }
    flight.beganLoading = loading
    try {
      let stamp = loading.stamp
      const loaded = await this.#ask(work, loading.stamp, (of) => {
        if (of === null || stamp === null || of < stamp) stamp = stamp && of
      })
      if (this.#context.unsafe.stampAfterLoad) stamp = knowledge.newest
      return await this.#land({ key: reader.key, args, loaded, loading: { ...loading, stamp }, held })
    } catch (error) {
      const isRefused = error instanceof CacheError && error.code === 'LOCKSTEP_CACHE_OVERLOADED'
      if (!isRefused) counters.loadFailed += 1
      this.#context.keyEvents.note(reader.key, 'load-failed', loading.stamp)
      this.#letGo(reader.key, held)
      throw error
    }
  }

  #ask({ args, isBulk, reader }: Work<Args>, stamp: Stamp | null, asOf: LoadContext['asOf']): Promise<V | null> {
    const { definition } = this.#kind
    const isTogether = definition.loadMany !== undefined && (isBulk || !definition.load)
    if (isTogether) return this.#bulk.load(args, stamp, asOf)
    return runLoader(this.#context, this.#kind, async (late) => {
      return definition.load?.(args, new Loading({ stamp, token: reader.token, asOf }, late)) ?? null
    })
  }

  /** Encodes what was loaded, stores it under the lease and keeps it in L1, as far as nothing contradicts. */
  async #land(done: {
    readonly key: string
    readonly args: Args
    readonly loaded: V | null
    readonly loading: { readonly stamp: Stamp | null; readonly sequence: number; readonly at: number }
    readonly held: Holding
  }): Promise<Outcome> {
    const { key, loaded, loading, held } = done
    const kind = this.#kind
    this.#context.keyEvents.note(key, 'loaded', loading.stamp)
    const value = loaded ?? null
    const tags = declareTags(key, kind.definition.tags(value, done.args))
    const body = kind.encode(value)
    const ttlMs = kind.drawTtlMs(body)
    const { stamp, sequence, at } = loading
    const loadMs = this.#context.clock.now() - at
    const decoded = kind.decode(body)
    const outcome = { value: decoded, tags, loadedAt: at, stamp, layer: 'load' as const, knownAt: sequence, asOf: at }
    if (stamp === null || !(ttlMs > 0)) {
      this.#letGo(key, held)
      return { ...outcome, stored: false }
    }
    const moments = kind.moments(at + ttlMs, body, loadMs)
    const kept = { value: decoded, tags, loadedAt: at, ...moments, stamp, bytes: kind.bytes(key, body, decoded) }
    const { knowledge } = this.#context
    // Where the mirror alone decides, nobody waits for Redis: the fill goes on behind the readers' backs.
    const isKept = knowledge.keep(kind.l1, kept, null)
    if (!held) return { ...outcome, stored: false }
    const wish = { key, stamp, tags, body, ttlMs, graceMs: kind.graceMs, loadMs }
    const fill = track(this.#context, this.#fill(wish, held))
    if (isKept) return { ...outcome, stored: false, filling: fill }
    const { stored, fencesReadAt } = await fill
    knowledge.keep(kind.l1, kept, fencesReadAt)
    return { ...outcome, stored }
  }

  async #fill(wish: Omit<Fill, keyof Held>, held: Held | Promise<Held | null>): Promise<Filled> {
    const granted = held instanceof Promise ? await held : held
    return granted ? storeFill(this.#context, { ...wish, ...granted }) : { stored: false, fencesReadAt: null }
  }

  #letGo(key: string, held: Holding): void {
    if (held instanceof Promise)
      void track(
        this.#context,
        held.then((granted) => this.#letGo(key, granted)),
      )
    else if (held) dropLease(this.#context, key, held.lease)
  }

  /** Takes a value from Redis into L1, in the tick in which it was judged; null where the codec cannot read it. */
  #promote(key: string, accepted: Accepted): Outcome | null {
    const { counters, unsafe, knowledge, events, keyEvents } = this.#context
    const { value, remainingMs, now, knownAt, fencesReadAt } = accepted
    const { stamp, tags, body, loadMs } = value
    const kind = this.#kind
    try {
      const decoded = kind.decode(body)
      const { refreshAt, deadAt } = kind.moments(now + remainingMs, body, loadMs ?? 0)
      const loadedAt = this.#loadedAt(accepted)
      const kept = { value: decoded, stamp, tags, refreshAt, deadAt, loadedAt, bytes: kind.bytes(key, body, decoded) }
      if (unsafe.blindPromotion) kind.l1.set(key, kept)
      else if (kind.doorkeeper?.admits(key) !== false) knowledge.keep(kind.l1, kept, fencesReadAt)
      counters.l2Hit += 1
      keyEvents.noteKnown(key, 'from-redis', stamp)
      return { value: decoded, stamp, tags, loadedAt, layer: 'l2', stored: true, knownAt, asOf: now }
    } catch (error) {
      // Another version of the service wrote it, or nobody did: a load replaces it.
      events.failed?.(error, 'decoding a value')
      return null
    }
  }

  /** Monotonic ms at which a value from Redis was loaded. */
  #loadedAt({ value, remainingMs, now }: Accepted): number {
    const ageMs =
      value.loadedAtMs === undefined
        ? this.#kind.ttlMs(value.body) - remainingMs
        : value.expiresAtMs - remainingMs - value.loadedAtMs
    return now - Math.max(0, ageMs)
  }
}

/** How long after its fence a key goes for its lease directly, ms: longer than any refill takes. */
const LIKELY_GONE_MS = 250

/** Two readings of one load's age differ by the rounding and mapping of clocks, two loads by more. */
const RENEWED_BY_MS = 50
