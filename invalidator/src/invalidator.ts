import { TOPICS, backoff } from '@lockstep/runtime'
import type {
  EventLog,
  LatencySummary,
  LogBatch,
  Logger,
  MetricsRegistry,
  Subscription,
  TimeSource,
} from '@lockstep/runtime'
import type { RuleSet, Stamp } from '@lockstep/schemas'
import { BatchRun } from './apply.ts'
import type { ApplyDeps, DerivedBatch, Outcome } from './apply.ts'
import { deriveItem } from './derive.ts'
import { EchoLoop } from './echo.ts'
import { GenerationRequests } from './generation-requests.ts'
import { createInvalidatorMetrics } from './metrics.ts'
import type { InvalidatorMetrics } from './metrics.ts'
import { createPartitionMemory } from './position.ts'
import type { PartitionMemory } from './position.ts'
import type { FenceWriter } from './ports.ts'

/** Consumer group of `changes`. One for Redis alone, so that no other layer's trouble delays it. */
export const GROUP = 'invalidator'

// Full jitter: a Redis that comes back is not met by all partitions at once, nor waited for longer than 2 s.
const RETRY = { initialMs: 50, maxMs: 2_000 }

// A live partition brings a watermark every 50 ms, and the log's own watchdog ends a consumer that stands still for 60 s:
// a partition silent for longer belongs to another replica now.
const LOST_AFTER_MS = 60_000

/** Breaks the service's promises one by one, so that tests can show what each is worth. Never set in production. */
export interface UnsafeInvalidatorOptions {
  /** Leaves plain fences out: L1 and L2 keep what changes made wrong. */
  readonly skipFences?: boolean | undefined
  /** Goes on from wherever `w` stands: what a failover lost stays lost. */
  readonly skipRewind?: boolean | undefined
  /** Commits a batch before it is applied: a crash then loses it. */
  readonly commitFirst?: boolean | undefined
}

/** Everything the service is made of. */
export interface InvalidatorDeps {
  readonly log: EventLog
  readonly writer: FenceWriter
  readonly rules: RuleSet
  readonly logger: Logger
  readonly metrics: MetricsRegistry
  readonly time: TimeSource
  readonly random: () => number
  /** Pause between two echoes, ms. */
  readonly echoMs: number
  readonly unsafe?: UnsafeInvalidatorOptions | undefined
}

/** What `/statusz` says of one partition. */
export interface PartitionStatus {
  readonly position: string | null
  readonly generation: number
  readonly watermark: Stamp | null
  /** Where records are missing while the generation that covers them is awaited. */
  readonly brokenAt: string | null
}

/** What `/statusz` says. */
export interface InvalidatorStatus {
  readonly partitions: Readonly<Record<number, PartitionStatus>>
  readonly generation: number
  /** Age of everything applied, by Redis time; null until a watermark carried an echo back. */
  readonly watermarkAgeMs: number | null
  readonly commitToRedis: LatencySummary
  /** Bucket counts of `commitToRedis`, for `LatencyRecorder.merge`. */
  readonly commitToRedisCounts: Readonly<Record<string, number>>
}

/** Applies `changes` to Redis and tells the edge, from `start` to `stop`. */
export class Invalidator {
  readonly #deps: InvalidatorDeps
  readonly #apply: ApplyDeps
  readonly #metrics: InvalidatorMetrics
  readonly #echo: EchoLoop
  readonly #memories = new Map<number, PartitionMemory>()
  /** When each partition was last delivered, monotonic ms; Infinity while a batch of it is being applied. */
  readonly #deliveredMs = new Map<number, number>()
  readonly #stopping = new AbortController()
  #subscription: Subscription | null = null
  #echoing: Promise<void> = Promise.resolve()

  constructor(deps: InvalidatorDeps) {
    const { log, writer, time, logger, echoMs, unsafe } = deps
    const wallUs = (): bigint => BigInt(Math.round(time.wallMs() * 1000))
    const requests = new GenerationRequests(log, time)
    this.#deps = deps
    this.#metrics = createInvalidatorMetrics(deps.metrics, wallUs)
    this.#echo = new EchoLoop({ writer, log, time, logger, metrics: this.#metrics, echoMs })
    this.#apply = {
      writer,
      log,
      wallUs,
      metrics: this.#metrics,
      ask: async (need) => {
        if (await requests.ask(need)) logger.warn({ ...need }, 'asked for a new generation')
      },
      unsafeSkipFences: unsafe?.skipFences,
      unsafeSkipRewind: unsafe?.skipRewind,
    }
  }

  /** Subscribes to `changes` and begins to echo. @throws what the log throws when it cannot subscribe. */
  async start(): Promise<void> {
    this.#subscription = await this.#deps.log.consume({ topic: TOPICS.changes, group: GROUP }, (batch, signal) =>
      this.#handle(batch, signal),
    )
    this.#echoing = this.#echo.run(this.#stopping.signal)
  }

  /** Settles when consuming ended: rejects with what broke it. */
  get closed(): Promise<void> {
    return this.#subscription?.closed ?? Promise.resolve()
  }

  /** Ends intake, lets running batches finish or give up uncommitted, leaves the group. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#echoing
    await this.#subscription?.stop()
  }

  /** Tells where every partition stands and how long evictions take. */
  status(): InvalidatorStatus {
    const partitions: Record<number, PartitionStatus> = {}
    for (const [partition, memory] of this.#owned()) {
      partitions[partition] = {
        position: memory.position?.toString() ?? null,
        generation: memory.newestGeneration,
        watermark: this.#metrics.watermarks.get(partition)?.stamp ?? null,
        brokenAt: memory.brokenAt?.toString() ?? null,
      }
    }
    return {
      partitions,
      generation: Math.max(0, ...this.#owned().map(([, memory]) => memory.newestGeneration)),
      watermarkAgeMs: this.#watermarkAgeMs(),
      commitToRedis: this.#metrics.commitToRedis.summary(),
      commitToRedisCounts: this.#metrics.commitToRedis.counts(),
    }
  }

  /** The partitions that this replica has, as far as it can know. */
  #owned(): [number, PartitionMemory][] {
    const now = this.#deps.time.nowMs()
    return [...this.#memories].filter(([partition]) => now - (this.#deliveredMs.get(partition) ?? 0) < LOST_AFTER_MS)
  }

  async #handle(batch: LogBatch, signal: AbortSignal): Promise<void> {
    this.#deliveredMs.set(batch.partition, Number.POSITIVE_INFINITY)
    await this.#applyBatch(batch, signal)
    this.#deliveredMs.set(batch.partition, this.#deps.time.nowMs())
  }

  async #applyBatch(batch: LogBatch, signal: AbortSignal): Promise<void> {
    if (this.#deps.unsafe?.commitFirst === true) batch.commit()
    const { topic, partition, firstOffset, nextOffset } = batch
    const items = batch.records.map((record) => deriveItem(this.#deps.rules, record, { topic, partition }))
    const outcome = await this.#applyUntilDone({ partition, firstOffset, nextOffset, items }, signal)
    // Stopping: what is not done stays uncommitted and is delivered again.
    if (outcome === null) return
    if (outcome.kind === 'rewind') {
      this.#deps.logger.warn(
        { partition, from: firstOffset, stands: outcome.stands },
        'redis stands elsewhere, rewinding',
      )
      batch.rewind(outcome.to)
      return
    }
    batch.commit()
    const ageMs = this.#watermarkAgeMs()
    if (ageMs !== null) this.#metrics.watermarkAge(ageMs)
  }

  async #applyUntilDone(batch: DerivedBatch, signal: AbortSignal): Promise<Outcome | null> {
    const { logger, random, time } = this.#deps
    const delays = backoff({ ...RETRY, random })
    for (let failures = 0; ; failures++) {
      const memory = this.#memories.get(batch.partition) ?? createPartitionMemory()
      const run = new BatchRun(this.#apply, batch, memory)
      try {
        const outcome = await run.run()
        const rewound = outcome.kind === 'rewind' ? { ...memory, rewoundTo: outcome.stands } : run.memory
        this.#memories.set(batch.partition, rewound)
        if (failures > 0) logger.info({ partition: batch.partition, failures }, 'applying resumed')
        return outcome
      } catch (error) {
        if (isFinal(error)) throw error
        this.#metrics.failed('apply')
        if (failures === 0) logger.warn({ partition: batch.partition, error }, 'applying failed, trying again')
      }
      if (signal.aborted || this.#stopping.signal.aborted) return null
      // Made only here: the signals of AbortSignal.any survive every minor collection, with all they reach.
      const stopping = AbortSignal.any([signal, this.#stopping.signal])
      await time.sleep(delays.nextDelay(), stopping).catch(() => undefined)
      if (stopping.aborted) return null
    }
  }

  #watermarkAgeMs(): number | null {
    const now = this.#echo.redisNowUs()
    const echoes = this.#owned().map(([partition]) => this.#metrics.watermarks.get(partition)?.echo ?? '')
    if (now === null || echoes.length === 0 || echoes.includes('')) return null
    const oldest = echoes.map(BigInt).reduce((a, b) => (a < b ? a : b))
    return Math.max(0, Number(now - oldest) / 1000)
  }
}

/** Tells errors that no repetition mends. Everything else may be Redis or the log being away, and is repeated. */
function isFinal(error: unknown): boolean {
  if (!(error instanceof Error)) return true
  if (error instanceof TypeError || error instanceof RangeError) return true
  return 'disposition' in error && (error.disposition === 'fatal' || error.disposition === 'config')
}
