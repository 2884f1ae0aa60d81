import { TOPICS } from '@lockstep/runtime'
import type {
  EventLog,
  LatencySummary,
  LogBatch,
  Logger,
  ReceivedRecord,
  Subscription,
  TimeSource,
} from '@lockstep/runtime'
import { decodeEvent, encodeEvent } from '@lockstep/schemas'
import type { PurgeCommand } from '@lockstep/schemas'
import { Barrier } from './barrier.ts'
import { Coalescer } from './coalescer.ts'
import { writeDeadLetter } from './dead-letters.ts'
import type { Rejected } from './dead-letters.ts'
import { Lane, LANE_POLICY } from './lane.ts'
import type { LanePolicy, LaneStatus } from './lane.ts'
import type { PurgerMetrics } from './metrics.ts'
import type { EdgeProvider, ProcessAcks } from './ports.ts'
import type { Purge } from './purge.ts'
import { Rebounds } from './rebounds.ts'
import { BatchTicket } from './tickets.ts'
import { Tiers } from './tiers.ts'

/** What a purger is made of. */
export interface PurgerDeps {
  readonly log: Pick<EventLog, 'produce' | 'consume'>
  /** From the origin outward; the providers of one tier are purged side by side. */
  readonly tiers: readonly (readonly EdgeProvider[])[]
  readonly acks: ProcessAcks | null
  readonly time: TimeSource
  readonly random: () => number
  readonly logger: Logger
  readonly metrics: PurgerMetrics
  readonly options: PurgerOptions
}

/** Durations and bounds of a purger. */
export interface PurgerOptions {
  readonly group: string
  readonly maxStalenessMs: number
  readonly reboundMs: number
  /** Pause between two readings of the acknowledgements while something waits. */
  readonly barrierPollMs: number
  /** Intake pauses while so many tags wait for their live purge. */
  readonly maxBacklogKeys: number
  /** How long `stop` waits for what was taken in; the rest is delivered again. */
  readonly drainMs: number
  readonly lane?: LanePolicy | undefined
  /** Unsafe, for tests: switches protections off. */
  readonly unsafe?:
    | { readonly skipBarrier?: boolean | undefined; readonly skipRebound?: boolean | undefined }
    | undefined
}

/** What a purger says of itself. */
export interface PurgerStatus {
  readonly backlog: number
  readonly oldestAgeMs: number
  readonly inFlight: number
  readonly rebounds: number
  readonly providers: readonly LaneStatus[]
  readonly commitToEdge: LatencySummary
  /** Sparse counts, mergeable by `LatencyRecorder.merge`. */
  readonly commitToEdgeCounts: Readonly<Record<string, number>>
}

/** Turns the purge topic into purges. */
export interface Purger {
  /** Begins to consume. */
  start(): Promise<void>
  /** Stops intake, finishes what it can within `drainMs`, commits, closes the providers. */
  stop(): Promise<void>
  status(): PurgerStatus
  /** Settles when consuming ended: rejects with what broke it. */
  readonly closed: Promise<void>
}

// Coarse: gauges are scraped every few seconds, and a full backlog drains in more than this.
const GAUGE_MS = 1_000
const ROOM_POLL_MS = 5

/** Composes coalescer, barrier, tiers and rebounds over ports. */
export function createPurger(deps: PurgerDeps): Purger {
  return new PurgePipeline(deps)
}

class PurgePipeline implements Purger {
  readonly #deps: PurgerDeps
  readonly #coalescer = new Coalescer()
  readonly #lanes: readonly Lane[]
  readonly #barrier: Barrier
  readonly #rebounds: Rebounds
  readonly #draining = new AbortController()
  readonly #stopping = new AbortController()
  readonly #closed = Promise.withResolvers<void>()
  #subscription: Subscription | null = null
  /** Live purges between the barrier and the last tier; a rebound counts as owed until it is done. */
  #underway = 0

  constructor(deps: PurgerDeps) {
    this.#deps = deps
    const { time, random, logger, metrics, options, acks } = deps
    const policy = options.lane ?? LANE_POLICY
    const tiers = deps.tiers.map((tier) =>
      tier.map((provider) => new Lane({ provider, policy, time, random, logger, metrics })),
    )
    this.#lanes = tiers.flat()
    const line = new Tiers({
      tiers,
      onRefused: async (purge, _, detail) => this.#putAside(purge, detail),
      onDone: (purge, startedMs) => this.#done(purge, startedMs),
    })
    this.#rebounds = new Rebounds({
      time,
      reboundMs: options.reboundMs,
      onDue: (purge) => line.run(purge),
      unsafeSkip: options.unsafe?.skipRebound,
    })
    this.#barrier = new Barrier({
      coalescer: this.#coalescer,
      acks,
      time,
      logger,
      maxStalenessMs: options.maxStalenessMs,
      pollMs: options.barrierPollMs,
      onRelease: (purges) => {
        this.#underway += purges.length
        for (const purge of purges) line.run(purge)
      },
      onTimeout: (count) => metrics.barrierTimedOut(count),
      unsafeSkip: options.unsafe?.skipBarrier,
    })
  }

  get closed(): Promise<void> {
    return this.#closed.promise
  }

  async start(): Promise<void> {
    const { log, options } = this.#deps
    void this.#gauge()
    const handler = async (batch: LogBatch, signal: AbortSignal) => this.#receive(batch, signal)
    this.#subscription = await log.consume({ topic: TOPICS.purges, group: options.group }, handler)
    this.#subscription.closed.then(this.#closed.resolve, this.#closed.reject)
  }

  async stop(): Promise<void> {
    const { time, options, acks } = this.#deps
    this.#draining.abort()
    const deadlineMs = time.nowMs() + options.drainMs
    const isBusy = () => this.#coalescer.size + this.#underway + this.#rebounds.size > 0
    while (isBusy() && time.nowMs() < deadlineMs) await time.sleep(ROOM_POLL_MS)
    this.#stopping.abort()
    await this.#barrier.stop()
    this.#rebounds.stop()
    await Promise.all(this.#lanes.map(async (lane) => lane.stop()))
    await this.#subscription?.stop()
    await acks?.close()
    this.#closed.resolve()
  }

  status(): PurgerStatus {
    const { commitToEdge } = this.#deps.metrics
    const providers = this.#lanes.map((lane) => lane.status())
    return {
      backlog: this.#backlog(),
      oldestAgeMs: this.#oldestAgeMs(),
      inFlight: providers.reduce((sum, lane) => sum + lane.inFlight, 0),
      rebounds: this.#rebounds.size,
      providers,
      commitToEdge: commitToEdge.summary(),
      commitToEdgeCounts: commitToEdge.counts(),
    }
  }

  #backlog(): number {
    return this.#coalescer.size + this.#underway
  }

  #oldestAgeMs(): number {
    const oldest = [this.#coalescer.oldestMs, ...this.#lanes.map((lane) => lane.oldestMs)].filter((at) => at !== null)
    return oldest.length === 0 ? 0 : Math.max(0, this.#deps.time.nowMs() - Math.min(...oldest))
  }

  /** Takes a batch in. It returns before the purges are done: the ticket commits the batch when they are. */
  async #receive(batch: LogBatch, signal: AbortSignal): Promise<void> {
    await this.#room(signal)
    // What is not committed is delivered again, here or at another member.
    if (signal.aborted || this.#draining.signal.aborted) return await aborted(signal)
    const ticket = new BatchTicket(() => batch.commit())
    const rejected: Rejected[] = []
    for (const record of batch.records) {
      const command = this.#decode(record, batch, rejected)
      const source = { partition: batch.partition, offset: record.offset }
      if (command) this.#coalescer.add({ command, source }, ticket, this.#deps.time.nowMs())
    }
    this.#barrier.wake()
    try {
      for (const item of rejected) await writeDeadLetter(this.#deps, item, signal)
    } catch (error) {
      // Stopping: the batch stays uncommitted, so the record is met again.
      if (signal.aborted) return
      throw error
    }
    ticket.release()
  }

  #decode(record: ReceivedRecord, batch: LogBatch, rejected: Rejected[]): PurgeCommand | null {
    let detail: string
    try {
      const event = decodeEvent(record.value)
      if (event.kind === 'purge') return event
      detail = event.kind
    } catch (error) {
      detail = error instanceof Error ? error.message : String(error)
    }
    const source = { partition: batch.partition, offset: record.offset }
    rejected.push({ code: 'LOCKSTEP_CDN_UNDECODABLE', detail, source, payload: record.value })
    return null
  }

  async #room(signal: AbortSignal): Promise<void> {
    const { time, options } = this.#deps
    while (this.#backlog() >= options.maxBacklogKeys && !signal.aborted && !this.#draining.signal.aborted)
      await time.sleep(ROOM_POLL_MS, signal).catch(() => undefined)
  }

  async #putAside(purge: Purge, detail: string): Promise<void> {
    // The live purge of the same command was put aside already.
    if (purge.phase === 'rebound') return
    const payload = encodeEvent(purge.command)
    const rejected: Rejected = { code: 'LOCKSTEP_CDN_KEY_REFUSED', detail, source: purge.source, payload }
    await writeDeadLetter(this.#deps, rejected, this.#stopping.signal)
  }

  #done(purge: Purge, startedMs: number): void {
    if (purge.phase === 'live') {
      this.#underway -= 1
      // Infinite: every provider refused it, so nothing was evicted.
      if (Number.isFinite(startedMs)) this.#deps.metrics.purged(purge)
    }
    this.#rebounds.done(purge, startedMs)
  }

  async #gauge(): Promise<void> {
    const { time, metrics } = this.#deps
    const { signal } = this.#stopping
    while (!signal.aborted) {
      metrics.backlog(this.#backlog(), this.#oldestAgeMs())
      await time.sleep(GAUGE_MS, signal).catch(() => undefined)
    }
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
