import { randomUUID } from 'node:crypto'
import { redisKeys, type BusFence, type RedisKeys, type Stamp, type Tag } from '@lockstep/schemas'
import { ReplyError, type Redis } from 'ioredis'
import { Breaker } from '../breaker.ts'
import { systemClock } from '../clock.ts'
import { CacheError } from '../errors.ts'
import { fenceOf } from '../fence-record.ts'
import type { Attachment, BusMessage, CacheStore, FencesReply } from '../store.ts'
import type { CacheClock } from '../types.ts'
import { attachmentOf } from '../watermark.ts'
import { Batch } from './batch.ts'
import { openClient, tryConnect } from './connection.ts'
import { RedisFences } from './fences.ts'
import { RedisFills } from './fills.ts'
import { call, failure, flush, runOne, runPipeline, send, timeOf, type Command } from './pipeline.ts'
import { ACK, ATTACH } from './scripts.ts'
import { RedisSequencer } from './sequencer.ts'

/** What a store over Redis ≥ 7 needs. */
export interface RedisStoreOptions {
  readonly redis: { readonly url: string } | Redis
  readonly namespace: string
  readonly commandTimeoutMs: number
  readonly clock?: CacheClock | undefined
  readonly failed?: ((error: unknown, doing: string) => void) | undefined
  readonly nonce?: (() => string) | undefined
}

/**
 * Values per command: enough that the command's own cost is gone, few enough that Redis reads the first of a turn while the
 * turn still asks for the next. 64 readers: 122,000 values/s with 128, 126,000 with 64, 160,000 with 32, 149,000 with 16.
 */
const VALUES_PER_READ = 32
/** Fewer would open at one slow command of a pipeline; more would cost a reader 100 ms each. */
const FAILURES_TO_OPEN = 5
/** Entries per read of the bus: a tail that comes back after a pause must not build one reply of the whole stream. */
const BUS_READ_COUNT = 1_000
/** A connection that answers nothing for so long is made anew. */
const SILENT_MS = 1_000
/** A blocking read that is overdue by this much (ms) hangs on a dead connection. */
const BLOCK_GRACE_MS = 1_000

/** A reply of the server is an answer, however bad; anything else means that there was none. */
function isServerFault(error: unknown): boolean {
  const cause = error instanceof CacheError ? error.cause : error
  return !(cause instanceof ReplyError)
}

class RedisStore implements CacheStore {
  readonly values: CacheStore['values']
  readonly fills: CacheStore['fills']
  readonly fences: CacheStore['fences']
  readonly bus: CacheStore['bus']
  readonly sequencer: CacheStore['sequencer']
  readonly #client: Redis
  readonly #tail: Redis
  readonly #keys: RedisKeys
  readonly #breaker: Breaker
  readonly #nonce: () => string
  readonly #clock: CacheClock
  /** Until the policy is known, fences may be evicted. */
  #mayEvict = true
  /** Connections made so far: the next one may lead to a node that has counted its evictions from another start. */
  #connections = 0
  /** Monotonic ms of the first command since the last answer that got none. */
  #silentSince: number | null = null

  constructor(options: RedisStoreOptions) {
    const connection = { ...options, failed: (error: unknown) => options.failed?.(error, 'talking to Redis') }
    this.#client = openClient(connection)
    this.#tail = openClient(connection, { commandTimeout: BLOCK_GRACE_MS * 2 })
    this.#client.on('ready', () => (this.#connections += 1))
    this.#keys = redisKeys(options.namespace)
    this.#clock = options.clock ?? systemClock
    this.#breaker = new Breaker({
      now: () => this.#clock.now(),
      failures: FAILURES_TO_OPEN,
      refusal: () => new CacheError('LOCKSTEP_CACHE_BREAKER_OPEN', 'redis did not answer lately, check that it does'),
    })
    this.#nonce = options.nonce ?? randomUUID
    const reads = new Batch<string, string | null>(VALUES_PER_READ, (keys) => this.#guard(() => this.#readValues(keys)))
    this.values = {
      value: (key) => reads.ask(key),
      fences: (tags) => this.#guard(() => this.#readFences(tags)),
    }
    const run = (commands: readonly Command[]): Promise<unknown[]> =>
      this.#guard(() => runPipeline(this.#client, commands))
    this.fills = new RedisFills({
      keys: this.#keys,
      run,
      mayEvict: () => this.#mayEvict,
      connections: () => this.#connections,
      nonce: this.#nonce,
    })
    this.fences = new RedisFences({ keys: this.#keys, run, mayEvict: () => this.#mayEvict, nonce: this.#nonce })
    this.sequencer = new RedisSequencer({
      run: (command) => this.#guard(() => runOne(this.#client, command)),
      keys: this.#keys,
      nonce: this.#nonce,
    })
    this.bus = {
      attach: () => this.#attach(),
      read: (after, blockMs) => this.#read(after, blockMs),
      ack: (processId, id) => this.#guard(() => this.#ack(processId, id)),
      withdraw: (processId) => this.#guard(() => this.#withdraw(processId)),
    }
  }

  async timeUs(): Promise<bigint> {
    // Not through the breaker: this is asked once a second, and its answer closes nothing.
    return timeOf(await runOne(this.#client, ['time']))
  }

  async connect(): Promise<void> {
    await Promise.all([tryConnect(this.#client), tryConnect(this.#tail)])
  }

  async close(): Promise<void> {
    await Promise.resolve()
    this.#client.disconnect()
    this.#tail.disconnect()
  }

  #guard<T>(work: () => Promise<T>): Promise<T> {
    return this.#breaker.run(work, isServerFault).then(
      (answer) => {
        this.#silentSince = null
        return answer
      },
      (error: unknown) => {
        if (isServerFault(error)) this.#noteSilence()
        throw failure(error)
      },
    )
  }

  /**
   * Leaves a connection that stays silent, for a new one, which leads elsewhere after a failover: the host may be gone
   * without a word. Not by ioredis' `socketTimeout`, whose timer outlives its connection and ends the next one (5.11.1).
   */
  #noteSilence(): void {
    const now = this.#clock.now()
    this.#silentSince ??= now
    if (now - this.#silentSince < SILENT_MS || this.#client.status !== 'ready') return
    this.#silentSince = null
    this.#client.disconnect(true)
  }

  #readValues(keys: readonly string[]): Promise<(string | null)[]> {
    const names = keys.map((key) => this.#keys.value(key))
    const values = send(this.#client, ['mget', ...names]) as Promise<(string | null)[]>
    if (keys.length === VALUES_PER_READ) flush(this.#client)
    return values
  }

  async #readFences(tags: readonly Tag[]): Promise<FencesReply> {
    if (tags.length === 0) return { records: [], appliedUpTo: '' }
    // Over one connection, so that one node answers both: it only moves on, so the later answer knows no less.
    const [watermark, records] = await Promise.all([
      send(this.#client, ['hget', this.#keys.watermark, 'm']) as Promise<string | null>,
      send(this.#client, ['mget', ...tags.map((tag) => this.#keys.fence(tag))]) as Promise<(string | null)[]>,
    ])
    return { records: records.map(fenceOf), appliedUpTo: (watermark ?? '') as Stamp | '' }
  }

  async #attach(): Promise<Attachment | null> {
    const [attached, memory] = await runPipeline(this.#client, [
      call(ATTACH, [this.#keys.watermark, this.#keys.bus], []),
      ['info', 'memory'],
    ])
    this.#mayEvict = !/^maxmemory_policy:noeviction/m.test(String(memory))
    const [words, lastId] = attached as [string[], string]
    const pairs = words.flatMap((field, index) => (index % 2 === 0 ? [[field, words[index + 1] ?? '']] : []))
    const attachment = attachmentOf(Object.fromEntries(pairs))
    return attachment && lastId !== '' ? { ...attachment, id: lastId } : attachment
  }

  async #read(after: string, blockMs: number): Promise<readonly BusMessage[]> {
    try {
      const count = ['COUNT', BUS_READ_COUNT, 'BLOCK', Math.max(1, Math.ceil(blockMs))] as const
      const reply = await this.#tail.xread(...count, 'STREAMS', this.#keys.bus, after)
      return (reply?.[0]?.[1] ?? []).map(([id, words]) => messageOf(id, words))
    } catch (error) {
      if (isServerFault(error) && this.#tail.status === 'ready') this.#tail.disconnect(true)
      throw error
    }
  }

  async #ack(processId: string, id: string): Promise<number> {
    return Number(await runOne(this.#client, call(ACK, [this.#keys.acks], [processId, id])))
  }

  async #withdraw(processId: string): Promise<void> {
    await this.#client.hdel(this.#keys.acks, processId)
  }
}

function messageOf(id: string, words: readonly string[]): BusMessage {
  const fields: Record<string, string> = {}
  for (let index = 0; index < words.length; index += 2) fields[words[index] ?? ''] = words[index + 1] ?? ''
  return {
    id,
    nonce: fields['n'] ?? '',
    predecessor: fields['p'] ?? '',
    fences: JSON.parse(fields['f'] ?? '[]') as BusFence[],
    watermark: (fields['m'] ?? '') as Stamp | '',
    echo: fields['r'] ?? '',
    lsn: fields['l'] ?? '',
  }
}

/** Creates a reading process' view of Redis; it opens two connections of its own. */
export function createRedisStore(options: RedisStoreOptions): CacheStore {
  return new RedisStore(options)
}
