import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { Breaker } from './breaker.ts'
import type { CacheContext } from './context.ts'
import { Deadlines } from './deadlines.ts'
import { CacheError } from './errors.ts'
import { Doorkeeper } from './l1/doorkeeper.ts'
import type { LocalCache } from './l1/local-cache.ts'
import type { Codec, EntryDefinition } from './types.ts'

const JSON_CODEC: Codec<unknown> = { encode: (value) => JSON.stringify(value), decode: (text) => JSON.parse(text) }
/** Body of "there is none": a text that JSON never writes, and other codecs must not. */
const NOTHING = '\u0000'
/** Begins a deflated body; no codec's text may begin with it either. */
const DEFLATED = '\u0001'
/** Fast rather than small: a fifth of the time of the default for some 5 % more bytes. */
const DEFLATE_LEVEL = 1
/** A string's characters take one or two bytes in memory, its objects about as much again. */
const BYTES_PER_CHARACTER = 2

/** More than a burst of bad keys, fewer than a second of a busy service's timeouts. */
const DEFAULT_BREAKER_FAILURES = 20

/** How long a value lives from now on, monotonic ms. */
export interface Moments {
  readonly refreshAt: number
  readonly deadAt: number
}

/** One kind of value: its definition with the defaults filled in, checked once. */
export class Kind<Args, V> {
  readonly name: string
  readonly definition: EntryDefinition<Args, V>
  readonly l1: LocalCache
  /** Null where every value from Redis enters L1. */
  readonly doorkeeper: Doorkeeper | null
  readonly maxStalenessMs: number
  readonly graceMs: number
  readonly deadlines: Deadlines
  readonly breaker: Breaker
  readonly #codec: Codec<V>
  readonly #random: () => number

  constructor(name: string, definition: EntryDefinition<Args, V>, context: CacheContext) {
    check(name, definition, context.limits.loadTimeoutMs)
    this.name = name
    this.definition = definition
    this.l1 = definition.l1 ? context.l1.add(definition.l1) : context.l1.shared
    this.doorkeeper = definition.promote === 'hot' ? new Doorkeeper() : null
    this.maxStalenessMs = definition.maxStalenessMs ?? context.limits.maxStalenessMs
    this.graceMs = definition.graceMs ?? 0
    const loadTimeoutMs = definition.loadTimeoutMs ?? context.limits.loadTimeoutMs
    this.deadlines = new Deadlines(loadTimeoutMs, context.clock, context.signal)
    this.breaker = new Breaker({
      now: () => context.clock.now(),
      failures: definition.breakerFailures ?? DEFAULT_BREAKER_FAILURES,
      refusal: () =>
        new CacheError('LOCKSTEP_CACHE_LOADER_DOWN', `${name}: the last loads all failed, see their errors`),
    })
    this.#codec = definition.codec ?? (JSON_CODEC as Codec<V>)
    this.#random = context.random
  }

  /** Writes a value as text. */
  encode(value: V | null): string {
    if (value === null) return NOTHING
    const text = this.#codec.encode(value)
    const { compressAbove } = this.definition
    if (compressAbove === undefined || text.length < compressAbove) return text
    return DEFLATED + deflateRawSync(text, { level: DEFLATE_LEVEL }).toString('base64')
  }

  /** Reads a value back as readers get it. @throws what the codec throws. */
  decode(body: string): V | null {
    if (body === NOTHING) return null
    const isDeflated = body.startsWith(DEFLATED)
    const text = isDeflated ? inflateRawSync(Buffer.from(body.slice(1), 'base64')).toString() : body
    const value = this.#codec.decode(text)
    return this.definition.values === 'frozen' ? deepFreeze(value) : value
  }

  /** Gives a reader its value. */
  hand(value: V | null): V | null {
    return this.definition.values === 'cloned' ? structuredClone(value) : value
  }

  /** Time to live of a body before jitter, ms. */
  ttlMs(body: string): number {
    const { ttlMs, negativeTtlMs } = this.definition
    return body === NOTHING ? (negativeTtlMs ?? ttlMs) : ttlMs
  }

  /** Time to live of a body that was loaded just now, ms. */
  drawTtlMs(body: string): number {
    const jitter = this.definition.ttlJitter ?? 0
    return this.ttlMs(body) * (jitter === 0 ? 1 : 1 - jitter * this.#random())
  }

  /** Works out when a value that ends at `endsAt` is looked after and when it is no longer served. */
  moments(endsAt: number, body: string, loadMs: number): Moments {
    return { refreshAt: endsAt - this.#aheadMs(body, loadMs), deadAt: endsAt + this.graceMs }
  }

  bytes(key: string, body: string, value: V | null): number {
    return key.length + (this.definition.size?.(value) ?? body.length * BYTES_PER_CHARACTER)
  }

  /** How long before its end a value is refreshed. */
  #aheadMs(body: string, loadMs: number): number {
    const { refreshAhead } = this.definition
    if (!refreshAhead) return 0
    const ttlMs = this.ttlMs(body)
    const aheadMs =
      'eager' in refreshAhead
        ? (1 - refreshAhead.eager) * ttlMs
        : // XFetch (Vattani, Chierichetti, Lowenstein 2015), drawn once per process and value instead of once per read.
          refreshAhead.xfetch * loadMs * -Math.log(1 - this.#random())
    return Math.min(aheadMs, ttlMs)
  }
}

function check<Args, V>(name: string, definition: EntryDefinition<Args, V>, mostLoadMs: number): void {
  const refuse = (reason: string): never => {
    throw new CacheError('LOCKSTEP_CACHE_CONFIG', `entry ${name}: ${reason}`)
  }
  const { ttlMs, ttlJitter = 0, refreshAhead, loadTimeoutMs = 0, graceMs = 0 } = definition
  if (!definition.load && !definition.loadMany) refuse('give it load, loadMany or both')
  if (!(ttlMs > 0)) refuse('ttlMs must be above 0')
  if (!(ttlJitter >= 0 && ttlJitter < 1)) refuse('ttlJitter must be at least 0 and below 1')
  if (!(graceMs >= 0)) refuse('graceMs must not be negative')
  if (loadTimeoutMs > mostLoadMs)
    refuse(`loadTimeoutMs must be at most the cache's (${mostLoadMs}): leases outlive loads`)
  if (refreshAhead && 'eager' in refreshAhead && !(refreshAhead.eager > 0 && refreshAhead.eager < 1)) {
    refuse('refreshAhead.eager is a share of ttlMs between 0 and 1')
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  Object.freeze(value)
  for (const part of Object.values(value)) deepFreeze(part)
  return value
}
