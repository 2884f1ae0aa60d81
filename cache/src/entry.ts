import { generationOf, type Stamp } from '@lockstep/schemas'
import { accept, isVouchedFor, type Accepted, type Demand } from './candidate.ts'
import { survived, type CacheContext } from './context.ts'
import { checkTag, declareTags, dependenciesOf } from './dependencies.ts'
import { CacheError } from './errors.ts'
import { dropLease, storeFill } from './fill.ts'
import { runLoader } from './loader.ts'
import { Flights, type Flight } from './flight.ts'
import type { LocalRecord } from './l1/local-cache.ts'
import { localResult, resultOf, type Arrival, type Outcome } from './outcome.ts'
import type { LeaseReply } from './store.ts'
import { isBelowToken } from './token.ts'
import type { Codec, Entry, EntryDefinition, ReadOptions, ReadResult } from './types.ts'
import { decodeValue } from './value-format.ts'

const JSON_CODEC: Codec<unknown> = { encode: (value) => JSON.stringify(value), decode: (text) => JSON.parse(text) }
/** Body of "there is none": a text that JSON never writes, and other codecs must not. */
const NOTHING = '\u0000'

const POLL_FIRST_MS = 5
const POLL_LONGEST_MS = 25
const POLL_GROWTH = 1.5

/** A right to store: the lease, and what came with it. */
interface Held {
  readonly lease: string
  readonly evictionMark: string
}

/** Reads one kind of value through L1, Redis and the loader; see docs/architecture.md for the order of steps. */
export class CacheEntry<Args, V> implements Entry<Args, V> {
  readonly name: string
  readonly #context: CacheContext
  readonly #definition: EntryDefinition<Args, V>
  readonly #codec: Codec<V>
  readonly #maxStalenessMs: number
  readonly #flights: Flights
  readonly #invalidate: (tags: readonly string[], stamp: Stamp) => Promise<void>

  constructor(options: {
    readonly name: string
    readonly context: CacheContext
    readonly definition: EntryDefinition<Args, V>
    readonly invalidate: (tags: readonly string[], stamp: Stamp) => Promise<void>
  }) {
    const { name, context, definition } = options
    this.name = name
    this.#context = context
    this.#definition = definition
    this.#codec = definition.codec ?? (JSON_CODEC as Codec<V>)
    this.#maxStalenessMs = definition.maxStalenessMs ?? context.limits.maxStalenessMs
    this.#flights = new Flights(context.knowledge.ring, { shareAny: context.unsafe.shareAnyFlight })
    this.#invalidate = options.invalidate
  }

  async get(args: Args, options?: ReadOptions): Promise<V | null> {
    const key = this.#definition.key(args)
    const now = this.#context.clock.now()
    const record = this.#context.l1.get(key)
    if (record && this.#isHit(record, now, options?.token)) {
      this.#context.counters.l1Hit += 1
      return record.value as V | null
    }
    return (await this.#readThrough(key, args, options)).value
  }

  async read(args: Args, options?: ReadOptions): Promise<ReadResult<V>> {
    const key = this.#definition.key(args)
    const now = this.#context.clock.now()
    const record = this.#context.l1.get(key)
    if (record && this.#isHit(record, now, options?.token)) {
      this.#context.counters.l1Hit += 1
      return localResult(record, now)
    }
    return this.#readThrough(key, args, options)
  }

  peek(args: Args): ReadResult<V> | undefined {
    const record = this.#context.l1.peek(this.#definition.key(args))
    const now = this.#context.clock.now()
    return record && this.#isHit(record, now, null) ? localResult(record, now) : undefined
  }

  async invalidate(args: Args, stamp: Stamp): Promise<void> {
    await this.#invalidate([this.#definition.key(args)], stamp)
  }

  /** The hit path: expiry, contract and token, two clock reads in all. */
  #isHit(record: LocalRecord, now: number, token: Stamp | null | undefined): boolean {
    if (record.expiresAt <= now) return false
    if (isBelowToken(record.stamp, token)) return false
    return this.#context.unsafe.ignoreFreshness === true || this.#context.freshness.isWithin(now, this.#maxStalenessMs)
  }

  async #readThrough(key: string, args: Args, options: ReadOptions | undefined): Promise<ReadResult<V>> {
    const { clock, knowledge, counters } = this.#context
    checkTag(key)
    const token = options?.token ?? null
    const arrivedAt = knowledge.ring.sequence
    // A token of another epoch (a database made anew under this name) would stamp loads with what no fence ever reaches.
    if (token !== null && generationOf(token) === knowledge.generation) knowledge.learn(token)
    const reader: Arrival = { key, token, maxStalenessMs: this.#maxStalenessMs, sequence: arrivedAt, at: clock.now() }
    try {
      const { outcome, isShared } = await this.#flights.join(reader, (flight) => this.#fly(flight, reader, args))
      if (isShared) counters.coalesced += 1
      return { ...resultOf<V>(outcome, clock.now()), ...(isShared ? { layer: 'coalesced' as const } : {}) }
    } catch (error) {
      const stale = options?.allowStale ? await this.#stale(reader) : null
      if (!stale) throw error
      counters.stale += 1
      return stale
    }
  }

  async #fly(flight: Flight, reader: Arrival, args: Args): Promise<Outcome> {
    const { counters, store, unsafe } = this.#context
    const demand: Demand = { token: reader.token, maxStalenessMs: this.#maxStalenessMs }
    const isVouched = isVouchedFor(this.#context, this.#maxStalenessMs)
    if (!isVouched) counters.bypass += 1
    if (isVouched && store) {
      const accepted = await accept(this.#context, await this.#stored(reader.key), demand)
      const promoted = accepted && this.#promote(reader.key, accepted)
      if (promoted) return promoted
    }
    counters.miss += 1
    if (unsafe.noLease) return this.#load({ flight, reader, args, held: null })
    return this.#lead({ flight, reader, args, demand, canWait: isVouched })
  }

  async #stored(key: string): Promise<string | null> {
    try {
      return (await this.#context.store?.values.value(key)) ?? null
    } catch (error) {
      survived(this.#context, error, 'reading a value')
      return null
    }
  }

  /** Takes the lease and loads, or waits for the holder's value; loads without a lease where neither comes about. */
  async #lead(work: {
    flight: Flight
    reader: Arrival
    args: Args
    demand: Demand
    canWait: boolean
  }): Promise<Outcome> {
    const { clock, limits, random, signal } = this.#context
    const { flight, reader, args, demand } = work
    const deadline = clock.now() + limits.leaseWaitMs
    for (let pollMs = POLL_FIRST_MS; ; pollMs = Math.min(POLL_LONGEST_MS, pollMs * POLL_GROWTH)) {
      const reply = await this.#lease(reader.key)
      if (!reply) return this.#load({ flight, reader, args, held: null })
      const accepted = reply.value === null ? null : await accept(this.#context, reply.value, demand)
      const promoted = accepted && this.#promote(reader.key, accepted)
      if (promoted) {
        if (reply.lease !== null) dropLease(this.#context, reader.key, reply.lease)
        return promoted
      }
      if (reply.lease !== null) {
        return this.#load({ flight, reader, args, held: { lease: reply.lease, evictionMark: reply.evictionMark } })
      }
      if (!work.canWait || clock.now() >= deadline) return this.#load({ flight, reader, args, held: null })
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

  async #load(work: { flight: Flight; reader: Arrival; args: Args; held: Held | null }): Promise<Outcome> {
    const { knowledge, counters, clock } = this.#context
    const { flight, reader, args, held } = work
    // Fixed before the load begins: whatever this stamp sees, the load sees.
    const loading = { stamp: knowledge.newest, sequence: knowledge.ring.sequence, at: clock.now() }
    flight.beganLoading = loading
    try {
      const loaded = await runLoader(this.#context, this.name, (signal) =>
        this.#definition.load(args, { stamp: loading.stamp, signal }),
      )
      const stamp = this.#context.unsafe.stampAfterLoad ? knowledge.newest : loading.stamp
      return await this.#land({ key: reader.key, args, loaded, loading: { ...loading, stamp }, held })
    } catch (error) {
      if (error instanceof CacheError && error.code === 'LOCKSTEP_CACHE_OVERLOADED') counters.overloaded += 1
      else counters.loadFailed += 1
      if (held) dropLease(this.#context, reader.key, held.lease)
      throw error
    }
  }

  /** Encodes what was loaded, stores it under the lease and keeps it in L1, as far as nothing contradicts. */
  async #land(done: {
    readonly key: string
    readonly args: Args
    readonly loaded: V | null
    readonly loading: { readonly stamp: Stamp | null; readonly sequence: number; readonly at: number }
    readonly held: Held | null
  }): Promise<Outcome> {
    const { key, loaded, loading, held } = done
    const value = loaded ?? null
    const tags = declareTags(key, this.#definition.tags(value, done.args))
    const dependencies = dependenciesOf(tags)
    const body = value === null ? NOTHING : this.#codec.encode(value)
    const ttlMs = this.#ttlMs(body)
    const { stamp, sequence, at } = loading
    const fill =
      held && stamp !== null && ttlMs > 0
        ? { key, lease: held.lease, stamp, tags, dependencies, body, ttlMs, evictionMark: held.evictionMark }
        : null
    if (held && !fill) dropLease(this.#context, key, held.lease)
    const { stored, fencesReadAt } = fill ? await storeFill(this.#context, fill) : { stored: false, fencesReadAt: null }
    const landed = {
      value: this.#decode(body),
      tags,
      dependencies,
      expiresAt: at + ttlMs,
      loadedAt: at,
      bytes: body.length + key.length,
    }
    if (stamp !== null && ttlMs > 0) this.#context.knowledge.keep(key, { ...landed, stamp }, fencesReadAt)
    return { ...landed, stamp, layer: 'load', stored, knownAt: sequence, asOf: at }
  }

  /** Takes a value from Redis into L1, in the tick in which it was judged; null where the codec cannot read it. */
  #promote(key: string, accepted: Accepted): Outcome | null {
    const { clock, counters, l1, unsafe, knowledge, events } = this.#context
    const { value, dependencies, remainingMs, knownAt, fencesReadAt } = accepted
    const now = clock.now()
    try {
      const record = {
        value: this.#decode(value.body),
        stamp: value.stamp,
        tags: value.tags.map(([tag]) => tag),
        dependencies,
        expiresAt: now + remainingMs,
        loadedAt: now - Math.max(0, this.#ttlMs(value.body) - remainingMs),
        bytes: value.body.length + key.length,
      }
      if (unsafe.blindPromotion) l1.set(key, record)
      else knowledge.keep(key, record, fencesReadAt)
      counters.l2Hit += 1
      return { ...record, layer: 'l2', stored: true, knownAt, asOf: now }
    } catch (error) {
      // Another version of the service wrote it, or nobody did: a load replaces it.
      events.failed?.(error, 'decoding a value')
      return null
    }
  }

  /** What is left past its contract; never below the reader's token, never what a known fence covers. */
  async #stale(reader: Arrival): Promise<ReadResult<V> | null> {
    const { l1, clock, knowledge } = this.#context
    const record = l1.peek(reader.key)
    if (record && !isBelowToken(record.stamp, reader.token)) {
      return { ...localResult<V>(record, clock.now()), layer: 'stale', stale: true }
    }
    const text = await this.#stored(reader.key)
    const value = text === null ? null : decodeValue(text)
    if (!value || isBelowToken(value.stamp, reader.token)) return null
    const tags = value.tags.map(([tag]) => tag)
    if (knowledge.mirror.covers(dependenciesOf(tags), value.stamp)) return null
    const redisNowMs = this.#context.freshness.redisNowMs(clock.now()) ?? clock.wall()
    const ageMs = Math.max(0, this.#ttlMs(value.body) - (value.expiresAtMs - redisNowMs))
    return {
      value: this.#decode(value.body),
      stamp: value.stamp,
      tags,
      layer: 'stale',
      ageMs,
      stored: true,
      stale: true,
    }
  }

  #ttlMs(body: string): number {
    const { ttlMs, negativeTtlMs } = this.#definition
    return body === NOTHING ? (negativeTtlMs ?? ttlMs) : ttlMs
  }

  #decode(body: string): V | null {
    return body === NOTHING ? null : this.#codec.decode(body)
  }
}
