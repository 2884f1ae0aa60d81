import { generationOf, type Stamp } from '@lockstep/schemas'
import type { CacheContext } from './context.ts'
import { checkTag } from './dependencies.ts'
import { Flight, Flights } from './flight.ts'
import type { Kind } from './kind.ts'
import type { LocalCache } from './l1/local-cache.ts'
import type { LocalRecord } from './l1/record.ts'
import { localResult, resultOf, type Arrival, type Outcome } from './outcome.ts'
import { ReadThrough } from './read-through.ts'
import { Renewals } from './renewals.ts'
import { staleResult } from './stale.ts'
import { isBelowToken } from './token.ts'
import type { Entry, ReadOptions, ReadResult } from './types.ts'

/** How a change of the write path reaches fences. */
export type Invalidate = (tags: readonly string[], stamp?: Stamp) => Promise<void>

/** Reads one kind of value through L1, Redis and the loader. */
export class CacheEntry<Args, V> implements Entry<Args, V> {
  readonly name: string
  readonly #context: CacheContext
  readonly #kind: Kind<Args, V>
  readonly #key: (args: Args) => string
  readonly #l1: LocalCache
  readonly #maxStalenessMs: number
  readonly #isShared: boolean
  readonly #flights: Flights
  readonly #renewals: Renewals
  readonly #through: ReadThrough<Args, V>
  readonly #invalidate: Invalidate

  constructor(context: CacheContext, kind: Kind<Args, V>, invalidate: Invalidate) {
    this.name = kind.name
    this.#context = context
    this.#kind = kind
    this.#key = (args) => kind.definition.key(args)
    this.#l1 = kind.l1
    this.#maxStalenessMs = kind.maxStalenessMs
    this.#isShared = kind.definition.values !== 'cloned'
    this.#flights = new Flights(context.knowledge.ring, { shareAny: context.unsafe.shareAnyFlight })
    this.#renewals = new Renewals(context)
    this.#through = new ReadThrough(context, kind)
    this.#invalidate = invalidate
  }

  get(args: Args, options?: ReadOptions): Promise<V | null> {
    // Not an async function: a hit is at most one promise.
    try {
      const key = this.#key(args)
      const record = this.#l1.get(key)
      if (record !== undefined && this.#isHit(record, options?.token)) {
        this.#context.counters.l1Hit += 1
        if (!this.#isShared) return Promise.resolve(this.#hand(record.value as V | null))
        return record.answer() as Promise<V | null>
      }
      return this.#getOn(key, args, record, options)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  async read(args: Args, options?: ReadOptions): Promise<ReadResult<V>> {
    const key = this.#key(args)
    const record = this.#l1.get(key)
    if (record !== undefined && this.#isHit(record, options?.token)) return this.#hit(record)
    return this.#readOn({ key, args, record, isTold: true }, options)
  }

  readLocal(args: Args, options?: ReadOptions): ReadResult<V> | undefined {
    const record = this.#l1.get(this.#key(args))
    return record !== undefined && this.#isHit(record, options?.token) ? this.#hit(record) : undefined
  }

  async getMany(args: readonly Args[], options?: ReadOptions): Promise<(V | null)[]> {
    const values: (V | null)[] = []
    const misses: Promise<void>[] = []
    args.forEach((one, index) => {
      const key = this.#key(one)
      const record = this.#l1.get(key)
      if (record !== undefined && this.#isHit(record, options?.token)) {
        values[index] = this.#hit(record).value
        return
      }
      const read = this.#readOn({ key, args: one, record, isBulk: true }, options)
      misses.push(read.then(({ value }) => void (values[index] = value)))
    })
    await Promise.all(misses)
    return values
  }

  peek(args: Args): V | null | undefined {
    const record = this.#l1.peek(this.#key(args))
    if (record === undefined || !this.#isHit(record, null)) return undefined
    return this.#hand(record.value as V | null)
  }

  async refresh(args: Args): Promise<V | null> {
    const key = this.#key(args)
    checkTag(key)
    const reader = this.#arrive(key, null)
    const outcome = await this.#through.reload({ flight: new Flight(), reader, args, isBulk: false })
    return this.#hand(outcome.value as V | null)
  }

  async write(args: Args, change: () => Promise<Stamp | void>, tags: readonly string[] = []): Promise<V | null> {
    const stamp = await change()
    await this.#invalidate([this.#key(args), ...tags], stamp ?? undefined)
    return this.refresh(args)
  }

  async invalidate(args: Args, stamp?: Stamp): Promise<void> {
    await this.#invalidate([this.#key(args)], stamp)
  }

  /** The hit path: end, contract and token; the clock is looked at once per turn. */
  #isHit(record: LocalRecord, token: Stamp | null | undefined): boolean {
    const now = this.#context.turn.now()
    return now < record.refreshAt && this.#isUsable(record, token, now)
  }

  #isUsable(record: LocalRecord, token: Stamp | null | undefined, now: number): boolean {
    if (token && isBelowToken(record.stamp, token)) return false
    const { unsafe, freshness } = this.#context
    return freshness.isWithinThisTurn(now, this.#maxStalenessMs) || unsafe.ignoreFreshness === true
  }

  #hit(record: LocalRecord): ReadResult<V> {
    this.#context.counters.l1Hit += 1
    return this.#result(localResult(record, this.#context.turn.now()))
  }

  #hand(value: V | null): V | null {
    return this.#isShared ? value : this.#kind.hand(value)
  }

  #result(result: ReadResult<V>): ReadResult<V> {
    return this.#isShared ? result : { ...result, value: this.#kind.hand(result.value) }
  }

  #getOn(key: string, args: Args, record: LocalRecord | undefined, options?: ReadOptions): Promise<V | null> {
    const isPlain = record === undefined && options === undefined
    if (!isPlain) return this.#readOn({ key, args, record }, options).then(({ value }) => value)
    const { counters } = this.#context
    const reader = this.#arrive(key, null)
    const shared = this.#flights.together(reader, (outcome, last, count) => {
      if (this.#flights.satisfies(outcome, last)) {
        counters.coalesced += count
        return outcome.value as V | null
      }
      return this.#share(last, args, false).then(({ value }) => {
        counters.coalesced += count - 1
        return value as V | null
      })
    })
    if (shared) return this.#isShared ? shared : shared.then((value) => this.#hand(value))
    checkTag(key)
    return this.#begin(reader, args, false).then(({ value }) => this.#hand(value as V | null))
  }

  async #readOn(
    read: { key: string; args: Args; record: LocalRecord | undefined; isBulk?: boolean; isTold?: boolean },
    options: ReadOptions | undefined,
  ): Promise<ReadResult<V>> {
    const { key, args, record, isBulk, isTold } = read
    const graced = record && (await this.#inGrace(record, args, options?.token))
    if (graced) return this.#result(graced)
    checkTag(key)
    const reader = this.#arrive(key, options?.token ?? null)
    try {
      const outcome = await this.#share(reader, args, isBulk === true)
      const { stored } = outcome.filling && isTold ? await outcome.filling : outcome
      return this.#result(resultOf<V>({ ...outcome, stored }, this.#context.clock.now()))
    } catch (error) {
      const stale = options?.allowStale ? await staleResult(this.#context, this.#kind, this.#through, reader) : null
      if (!stale) throw error
      this.#context.counters.stale += 1
      return this.#result(stale)
    }
  }

  /** Shares the work of other readers of the key, as far as this one may have its result, or does it. */
  async #share(reader: Arrival, args: Args, isBulk: boolean): Promise<Outcome> {
    for (;;) {
      const landing = this.#flights.joinable(reader)
      if (!landing) return this.#begin(reader, args, isBulk)
      const outcome = await landing
      if (!this.#flights.satisfies(outcome, reader)) continue
      this.#context.counters.coalesced += 1
      return { ...outcome, layer: 'coalesced' }
    }
  }

  #begin(reader: Arrival, args: Args, isBulk: boolean): Promise<Outcome> {
    return this.#flights.launch(reader.key, (flight) => this.#through.fly({ flight, reader, args, isBulk }))
  }

  #arrive(key: string, token: Stamp | null): Arrival {
    const { turn, knowledge } = this.#context
    const sequence = knowledge.ring.sequence
    // A token of another epoch (a database made anew under this name) would stamp loads with what no fence ever reaches.
    if (token !== null && generationOf(token) === knowledge.generation) knowledge.learn(token)
    return { key, token, maxStalenessMs: this.#maxStalenessMs, sequence, at: turn.now() }
  }

  /** Answers a record that is to be renewed and has not ended: it is renewed in the background, or waited for a little. */
  async #inGrace(record: LocalRecord, args: Args, token: Stamp | null | undefined): Promise<ReadResult<V> | null> {
    const now = this.#context.turn.now()
    if (now >= record.deadAt || !this.#isUsable(record, token, now)) return null
    const renewal = this.#renewals.renew(record, () => {
      const work = { flight: new Flight(), reader: this.#arrive(record.key, null), args, isBulk: false }
      return this.#through.renew(work, record.loadedAt)
    })
    const softTimeoutMs = this.#kind.definition.softTimeoutMs ?? 0
    if (softTimeoutMs > 0 && now >= record.deadAt - this.#kind.graceMs) {
      const reader = this.#arrive(record.key, token ?? null)
      const renewed = await this.#within(softTimeoutMs, renewal)
      // It may have begun before this reader, and before a fence that came between.
      if (renewed && this.#flights.satisfies(renewed, reader)) return resultOf<V>(renewed, this.#context.clock.now())
      // A fence may have come meanwhile.
      if (this.#l1.peek(record.key) !== record) return null
    }
    this.#context.counters.graced += 1
    return this.#hit(record)
  }

  async #within(ms: number, renewal: Promise<Outcome | null>): Promise<Outcome | null> {
    const wake = new AbortController()
    const timeout = this.#context.clock.sleep(ms, wake.signal).then(() => null)
    const outcome = await Promise.race([renewal, timeout])
    wake.abort(TIMED)
    return outcome
  }
}

// One for all: an abort without a reason builds a DOMException with a stack.
const TIMED = new Error('the wait is over')
