import { randomBytes, randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { clockOf, EVERYTHING, parseSnapshot, stampOf, type Lsn, type Stamp, type Tag } from '@lockstep/schemas'
import { Acks } from './acks.ts'
import { Admission } from './admission.ts'
import { isCoarse } from './advance-plan.ts'
import { systemClock } from './clock.ts'
import type { CacheContext, Limits } from './context.ts'
import { checkTag } from './dependencies.ts'
import { CacheEntry } from './entry.ts'
import { CacheError } from './errors.ts'
import { DEFAULT_SHORT_FENCE_MS, MAX_LEASE_MS } from './fence-writer.ts'
import { explain } from './explain.ts'
import { ExplicitMode, LocalSequencer } from './explicit.ts'
import { Freshness } from './freshness.ts'
import { Knowledge } from './knowledge.ts'
import { KeyEvents } from './key-events.ts'
import { Kind } from './kind.ts'
import { LocalLayer } from './l1/local-layer.ts'
import { createRedisStore } from './redis/store.ts'
import { createCounters } from './stats.ts'
import type { BusMessage, CacheStore } from './store.ts'
import { Tail } from './tail.ts'
import { Turn } from './turn.ts'
import type {
  Cache,
  CacheOptions,
  CacheStats,
  Coherence,
  Entry,
  EntryDefinition,
  Explanation,
  InvalidationListener,
} from './types.ts'

const DEFAULT_NAMESPACE = 'app'
const DEFAULT_MAX_STALENESS_MS = 5_000
/** Some 3 MB at most: 32 events of 100 bytes each. */
const DEFAULT_EXPLAIN_KEYS = 1_000
const DEFAULT_CONCURRENT_LOADS = 20
const DEFAULT_LOAD_QUEUE_MS = 1_000
const DEFAULT_LOAD_TIMEOUT_MS = 10_000
const DEFAULT_COMMAND_TIMEOUT_MS = 100
/** A holder that was killed delays other processes by this much at most, once. */
const DEFAULT_LEASE_WAIT_MS = 2_000
/** How often Redis time is mapped anew, ms; at 500 ppm the clocks drift 0.5 ms apart meanwhile. */
const SAMPLE_INTERVAL_MS = 1_000

function limitsOf(options: CacheOptions): Limits {
  const loadTimeoutMs = options.loadTimeoutMs ?? DEFAULT_LOAD_TIMEOUT_MS
  const leaseMs = loadTimeoutMs + (options.loadQueueMs ?? DEFAULT_LOAD_QUEUE_MS)
  const shortFenceMs = options.shortFenceMs ?? DEFAULT_SHORT_FENCE_MS
  if (leaseMs > MAX_LEASE_MS || leaseMs >= shortFenceMs) {
    throw new CacheError(
      'LOCKSTEP_CACHE_CONFIG',
      `loadTimeoutMs + loadQueueMs is ${leaseMs}: keep it within ${MAX_LEASE_MS} and below shortFenceMs (${shortFenceMs})`,
    )
  }
  return {
    maxStalenessMs: options.maxStalenessMs ?? DEFAULT_MAX_STALENESS_MS,
    loadTimeoutMs,
    leaseMs,
    leaseWaitMs: options.leaseWaitMs ?? DEFAULT_LEASE_WAIT_MS,
  }
}

function admissionOf(options: CacheOptions): Admission {
  const queueMs = options.loadQueueMs ?? DEFAULT_LOAD_QUEUE_MS
  const message = `no turn for a load within ${queueMs} ms: answer 503, or raise maxConcurrentLoads`
  const refusal = new CacheError('LOCKSTEP_CACHE_OVERLOADED', message)
  const maxConcurrent = options.maxConcurrentLoads ?? DEFAULT_CONCURRENT_LOADS
  return new Admission({ maxConcurrent, queueMs, refusal, clock: options.clock })
}

function storeOf(options: CacheOptions): CacheStore | null {
  if (options.store || options.redis === null) return options.store ?? null
  const { redis, namespace = DEFAULT_NAMESPACE } = options
  return createRedisStore({
    redis,
    namespace,
    commandTimeoutMs: options.commandTimeoutMs ?? DEFAULT_COMMAND_TIMEOUT_MS,
    clock: options.clock,
    failed: options.events?.failed,
  })
}

/** Names that never repeat: a random one for the process, short because it travels with every lease, and a count. */
function namesOf(process: string): () => string {
  let count = 0
  return () => `${process}.${(count += 1).toString(36)}`
}

class LockstepCache implements Cache {
  readonly #context: CacheContext
  readonly #stopping = new AbortController()
  readonly #listeners = new Set<InvalidationListener>()
  readonly #names = new Set<string>()
  readonly #tail: Tail | null
  readonly #acks: Acks | null
  readonly #shortFenceMs: number
  readonly coherence: Coherence
  readonly #snapshot: (() => Promise<string>) | undefined
  readonly #explicit: ExplicitMode | null
  readonly #alone: LocalSequencer | null
  #beating: Promise<void> = Promise.resolve()
  #sampling: Promise<void> = Promise.resolve()

  constructor(options: CacheOptions) {
    // Every load and every waiting reader listens, so their number says nothing of a leak.
    setMaxListeners(0, this.#stopping.signal)
    this.#shortFenceMs = options.shortFenceMs ?? DEFAULT_SHORT_FENCE_MS
    this.#context = this.#contextOf(options)
    const store = this.#context.store
    this.#acks = store && this.#acksOf(store, options.processId ?? randomUUID())
    this.#tail = store && this.#tailOf(store)
    this.coherence = options.coherence ?? (store ? 'log' : 'explicit')
    if (this.coherence === 'log' && !store) {
      throw new CacheError('LOCKSTEP_CACHE_CONFIG', "coherence 'log' needs Redis: the bus is there")
    }
    this.#snapshot = options.snapshot
    this.#alone = store ? null : new LocalSequencer(this.#context)
    const sequencer = store?.sequencer ?? this.#alone
    const isExplicit = this.coherence === 'explicit' && sequencer !== null
    this.#explicit = isExplicit ? new ExplicitMode(this.#context, sequencer, this.#shortFenceMs) : null
  }

  get maxStalenessMs(): number {
    return this.#context.limits.maxStalenessMs
  }

  async start(): Promise<void> {
    const { store } = this.#context
    this.#alone?.open()
    if (!store) return
    await store.connect()
    await this.#sample(store)
    if (this.#explicit) await this.#explicit.begin()
    await this.#tail?.start()
    this.#acks?.start()
    this.#sampling = this.#keepSampling(store)
    if (this.#explicit) this.#beating = this.#explicit.run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#acks?.stop()
    // Each is a command or two, and those have a time-out; a release may follow a fill that was refused.
    while (this.#context.pending.size > 0) await Promise.allSettled(this.#context.pending)
    await Promise.all([this.#context.store?.close(), this.#tail?.stop(), this.#sampling, this.#beating])
  }

  define<Args, V>(name: string, definition: EntryDefinition<Args, V>): Entry<Args, V> {
    if (this.#names.has(name))
      throw new CacheError('LOCKSTEP_CACHE_CONFIG', `entry ${name} is defined twice: choose another name`)
    const kind = new Kind(name, definition, this.#context)
    this.#names.add(name)
    return new CacheEntry(this.#context, kind, (tags, stamp) => this.invalidate(tags, stamp))
  }

  async invalidate(texts: readonly string[], stamp?: Stamp): Promise<void> {
    const tags = texts.map(checkTag)
    if (this.#explicit) return this.#invalidateExplicitly(this.#explicit, tags)
    const coarse = tags.find(isCoarse)
    if (coarse) {
      throw new CacheError('LOCKSTEP_CACHE_CONFIG', `tag ${coarse} is coarse: name single tags, the log fences classes`)
    }
    const { knowledge, store } = this.#context
    const at = stamp ?? (await this.token())
    knowledge.learn(at)
    for (const tag of tags) knowledge.raise(tag, at)
    await store?.fences.apply(
      tags.map((tag) => ({ tag, stamp: at })),
      this.#shortFenceMs,
    )
  }

  async token(): Promise<Stamp> {
    if (this.#explicit) return this.#explicit.draw()
    if (!this.#snapshot) {
      throw new CacheError('LOCKSTEP_CACHE_CONFIG', 'no stamp given: set the option snapshot, or pass the stamp')
    }
    const text = await this.#snapshot()
    const generation = this.generation()
    if (generation === null) {
      throw new CacheError('LOCKSTEP_CACHE_REDIS', 'not attached to the bus yet, so the epoch is unknown: try again')
    }
    const stamp = stampOf(generation, clockOf(parseSnapshot(text)))
    this.learn(stamp)
    return stamp
  }

  explain(key: string): Promise<Explanation> {
    return explain(this.#context, key)
  }

  learn(stamp: Stamp): void {
    this.#context.knowledge.learn(stamp)
  }

  newestStamp(): Stamp | null {
    return this.#context.knowledge.newest
  }

  generation(): number | null {
    return this.#context.knowledge.generation
  }

  replayed(lsn: Lsn): { readonly stamp: Stamp; readonly ageMs: number } | null {
    const { clock, freshness, knowledge } = this.#context
    const pair = knowledge.replays.reached(lsn)
    const { start } = knowledge.mirror
    // A fence newer than the stamp may have come and gone in Redis; from `start` on the mirror knows every one of them.
    if (!pair || start === null || pair.stamp < start) return null
    const now = clock.now()
    return freshness.redisNowMs(now) === null ? null : { stamp: pair.stamp, ageMs: now - pair.asOf }
  }

  freshnessAgeMs(): number | null {
    const { turn, freshness, knowledge } = this.#context
    return knowledge.mirror.start === null ? null : freshness.ageThisTurnMs(turn.now())
  }

  fencedWithin(tags: readonly string[], ms: number): boolean {
    const { turn, knowledge } = this.#context
    return knowledge.mirror.raisedAfter(tags, turn.now() - ms)
  }

  isOvertaken(tags: readonly string[], stamp: Stamp): boolean {
    return this.#context.knowledge.mirror.covers(tags, stamp)
  }

  stats(): CacheStats {
    const { counters, l1, knowledge, admission } = this.#context
    return {
      ...counters,
      l1Entries: l1.size,
      l1Bytes: l1.bytes,
      mirrorFences: knowledge.mirror.size,
      loadsInFlight: admission.running,
      overloaded: admission.refused,
      tailPosition: this.#tail?.position ?? null,
      tailAttached: knowledge.mirror.start !== null,
    }
  }

  onInvalidated(listener: InvalidationListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** A failure may leave other layers behind: what this process has is no longer vouched for. */
  async #invalidateExplicitly(explicit: ExplicitMode, tags: readonly Tag[]): Promise<void> {
    try {
      await explicit.invalidate(tags)
    } catch (error) {
      this.#tail?.lose('an invalidation did not reach Redis')
      throw error
    }
  }

  #contextOf(options: CacheOptions): CacheContext {
    const clock = options.clock ?? systemClock
    const unsafe = options.unsafe ?? {}
    const counters = createCounters()
    const keyEvents = new KeyEvents(() => clock.now(), options.explainKeys ?? DEFAULT_EXPLAIN_KEYS)
    const l1 = new LocalLayer(options.l1)
    const freshness = new Freshness(clock, { ignoreJump: unsafe.ignoreClockJump })
    return {
      clock,
      random: options.random ?? Math.random,
      limits: limitsOf(options),
      l1,
      freshness,
      turn: new Turn(clock, freshness),
      knowledge: new Knowledge({
        clock,
        l1,
        freshness,
        counters,
        keyEvents,
        unsafe,
        maxFences: options.mirrorMaxFences,
      }),
      admission: admissionOf(options),
      store: storeOf(options),
      counters,
      events: options.events ?? {},
      keyEvents,
      unsafe,
      signal: this.#stopping.signal,
      pending: new Set(),
      nonce: namesOf(randomBytes(12).toString('base64url')),
    }
  }

  #acksOf(store: CacheStore, processId: string): Acks {
    const { clock, events } = this.#context
    return new Acks({
      bus: store.bus,
      processId,
      clock,
      failed: (error) => events.failed?.(error, 'acknowledging the bus'),
    })
  }

  #tailOf(store: CacheStore): Tail {
    const { clock, knowledge, counters, events, unsafe } = this.#context
    return new Tail({
      bus: store.bus,
      knowledge,
      clock,
      ignoreGaps: unsafe.ignoreGaps,
      applied: (message) => this.#notify(message),
      attached: (position) => {
        counters.attaches += 1
        this.#acks?.applied(position)
        events.attached?.(position)
      },
      flushed: (reason) => {
        for (const listener of this.#listeners) listener([[EVERYTHING, knowledge.mirror.everything, 0]], '')
        events.flushed?.(reason)
      },
      failed: (error, doing) => events.failed?.(error, doing),
    })
  }

  #notify(message: BusMessage): void {
    this.#acks?.applied(message.id)
    this.#explicit?.heard()
    if (message.fences.length === 0) return
    for (const listener of this.#listeners) listener(message.fences, message.id)
  }

  async #keepSampling(store: CacheStore): Promise<void> {
    const { clock, signal } = this.#context
    while (!signal.aborted) {
      await clock.sleep(SAMPLE_INTERVAL_MS, signal)
      if (!signal.aborted) await this.#sample(store)
    }
  }

  async #sample(store: CacheStore): Promise<void> {
    try {
      await this.#context.freshness.sample(() => store.timeUs())
    } catch (error) {
      this.#context.events.failed?.(error, "reading Redis' clock")
    }
  }
}

/**
 * Creates the cache of this process. Nothing is served from a layer before `start`, and never while the pipeline cannot
 * vouch for it. @throws CacheError for options that would void the protocol.
 */
export function createCache(options: CacheOptions): Cache {
  return new LockstepCache(options)
}
