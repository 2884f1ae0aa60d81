import { TOPICS, createMemoryLog, noMetrics, silentLogger } from '@lockstep/runtime'
import type { EventLog, MetricsRegistry } from '@lockstep/runtime'
import { waitFor } from '@lockstep/runtime/testing'
import { decodeControl, decodeEvent, encodeEvent, redisKeys } from '@lockstep/schemas'
import type { ControlMessage, LogEvent, PurgeCommand, RedisKeys } from '@lockstep/schemas'
import { Redis } from 'ioredis'
import { startInvalidator } from '../compose.ts'
import type { RunningInvalidator } from '../compose.ts'
import type { InvalidatorConfig } from '../config.ts'
import { RULES } from './rig.ts'

/** Longest wait for anything in a test against a real server: a reconnect and a retry, on a busy machine. */
const DEADLINE_MS = 15_000

/** The composed service on a real Redis and the memory log, in a namespace of its own. */
export class RedisRig {
  readonly log: EventLog = createMemoryLog()
  readonly keys: RedisKeys
  readonly redis: Redis
  readonly purges: PurgeCommand[] = []
  readonly controls: ControlMessage[] = []
  readonly #url: string
  readonly #namespace: string
  #service: RunningInvalidator | null = null

  private constructor(url: string, namespace: string) {
    this.#url = url
    this.#namespace = namespace
    this.keys = redisKeys(namespace)
    this.redis = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null })
    this.redis.on('error', () => undefined)
  }

  /** Creates the log and notes what is sent over `purges` and `control`. */
  static async create(url: string, namespace: string): Promise<RedisRig> {
    const rig = new RedisRig(url, namespace)
    await rig.log.consume({ topic: TOPICS.purges, group: 'spy' }, (batch) => {
      rig.purges.push(...batch.records.map(({ value }) => decodeEvent(value) as PurgeCommand))
      batch.commit()
      return Promise.resolve()
    })
    await rig.log.consume({ topic: TOPICS.control, group: 'spy' }, (batch) => {
      rig.controls.push(...batch.records.map(({ value }) => decodeControl(value)))
      batch.commit()
      return Promise.resolve()
    })
    return rig
  }

  /** Keeps every record in the log, as retention does: a reader that never commits. */
  async keepRecords(): Promise<void> {
    await this.log.consume({ topic: TOPICS.changes, group: 'keeper' }, () => Promise.resolve())
  }

  async start(
    options: Partial<InvalidatorConfig> = {},
    metrics: MetricsRegistry = noMetrics,
  ): Promise<RunningInvalidator> {
    const config: InvalidatorConfig = {
      namespace: this.#namespace,
      redisUrl: this.#url,
      kafkaBrokers: [],
      rulesFile: '',
      echoMs: 50,
      shortFenceMs: 30_000,
      redisTimeoutMs: 1_000,
      adminHost: '127.0.0.1',
      adminPort: 0,
      logLevel: 'error',
      ...options,
    }
    this.#service = await startInvalidator(config, { log: this.log, logger: silentLogger, metrics, rules: RULES })
    return this.#service
  }

  async send(...events: LogEvent[]): Promise<void> {
    const records = events.map((event) => ({ key: 'k', partition: 0, value: encodeEvent(event) }))
    await this.log.produce(TOPICS.changes, records)
  }

  /** Generations that were asked for. */
  get requests() {
    return this.controls.filter((message) => message.kind === 'new-generation')
  }

  /** One field of `w`. */
  field(name: string): Promise<string | null> {
    return this.redis.hget(this.keys.watermark, name)
  }

  /** The stamp of a plain tag's fence; '' without one. */
  fence(tag: string): Promise<string> {
    return this.redis.getrange(this.keys.fence(tag), 0, 27)
  }

  async until(condition: () => boolean | Promise<boolean>): Promise<void> {
    await waitFor(condition, DEADLINE_MS)
  }

  async stop(): Promise<void> {
    await this.#service?.stop()
    await this.log.close()
    this.redis.disconnect()
  }
}
