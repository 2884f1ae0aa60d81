import { randomUUID } from 'node:crypto'
import { TOPICS } from '@lockstep/runtime'
import type { EventLog, LatencySummary, LogBatch, Logger, Subscription, TimeSource } from '@lockstep/runtime'
import { encodeEvent, encodeSurrogateKey } from '@lockstep/schemas'
import { Accounts } from './accounts.ts'
import { Barrier } from './barrier.ts'
import { Coalescer } from './coalescer.ts'
import { writeDeadLetter } from './dead-letters.ts'
import type { Rejected } from './dead-letters.ts'
import { Dispatcher, RETRY_POLICY } from './dispatcher.ts'
import type { ProviderStatus, RetryPolicy } from './dispatcher.ts'
import type { Escalation } from './escalation.ts'
import { noJournal } from './journal/none.ts'
import type { JournalWriter } from './journal/port.ts'
import { LogIntake } from './log-intake.ts'
import type { PurgerMetrics } from './metrics.ts'
import type {
  EdgeProvider,
  OrderLane,
  OrderOutcome,
  ProcessAcks,
  PurgeIntake,
  PurgeOrder,
  RateBudget,
} from './ports.ts'
import type { Purge } from './purge.ts'
import { Rebounds } from './rebounds.ts'
import { BatchTicket, TicketSet } from './tickets.ts'
import { Tiers } from './tiers.ts'

/** What a purger is made of. */
export interface PurgerDeps {
  readonly log: Pick<EventLog, 'produce' | 'consume'>
  /** From the origin outward; the providers of one tier are purged side by side. */
  readonly tiers: readonly (readonly EdgeProvider[])[]
  readonly acks: ProcessAcks | null
  /** The token buckets of a provider; by default, or null: it is as fast as it answers. */
  readonly budgetOf?: ((provider: EdgeProvider) => RateBudget | null) | undefined
  /** Closed with the purger. Default: nothing is journaled. */
  readonly journal?: JournalWriter | undefined
  readonly newId?: (() => string) | undefined
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
  /** Longest pause between two readings of the acknowledgements while something waits; a hint ends it. */
  readonly barrierPollMs: number
  /** Intake pauses while so many tags wait for their live purge. */
  readonly maxBacklogKeys: number
  /** How long `stop` waits for what was taken in; the rest is delivered again. */
  readonly drainMs: number
  readonly retry?: RetryPolicy | undefined
  /** Default: never. */
  readonly escalation?: Escalation | undefined
  /** Unsafe, for tests: switches protections off. */
  readonly unsafe?:
    | {
        readonly skipBarrier?: boolean | undefined
        readonly skipRebound?: boolean | undefined
        readonly skipCatchUp?: boolean | undefined
      }
    | undefined
}

/** What a purger says of itself. */
export interface PurgerStatus {
  readonly backlog: number
  readonly oldestAgeMs: number
  readonly inFlight: number
  readonly rebounds: number
  readonly providers: readonly ProviderStatus[]
  readonly commitToEdge: LatencySummary
  /** Sparse counts, mergeable by `LatencyRecorder.merge`. */
  readonly commitToEdgeCounts: Readonly<Record<string, number>>
}

/** Turns the purge topic, and orders beside it, into purges. */
export interface Purger extends PurgeIntake {
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
// Purges that wait for the journal's store: about as many as a second brings at the pace of a Varnish.
const MAX_UNJOURNALED = 200_000
const NEVER: Escalation = { maxDrainMs: null, classes: new Set() }

/** Composes coalescer, barrier, tiers and rebounds over ports. */
export function createPurger(deps: PurgerDeps): Purger {
  return new PurgePipeline(deps)
}

class PurgePipeline implements Purger {
  readonly #deps: PurgerDeps
  readonly #accounts: Accounts
  readonly #coalescer: Coalescer
  readonly #intake: LogIntake
  readonly #dispatchers: readonly Dispatcher[]
  readonly #line: Tiers
  readonly #barrier: Barrier
  readonly #rebounds: Rebounds
  readonly #draining = new AbortController()
  readonly #stopping = new AbortController()
  readonly #closed = Promise.withResolvers<void>()
  /** Rejections of the orders that have not ended. */
  readonly #orders = new Set<(reason: Error) => void>()
  #subscription: Subscription | null = null
  /** Live purges between the barrier and the last tier; a rebound counts as owed until it is done. */
  #underway = 0

  constructor(deps: PurgerDeps) {
    this.#deps = deps
    const { time, metrics, options, journal = noJournal } = deps
    this.#accounts = new Accounts(journal, time)
    this.#coalescer = new Coalescer((older) => this.#accounts.superseded(older))
    const tiers = deps.tiers.map((tier, index) => tier.map((provider) => this.#dispatcherOf(provider, index)))
    this.#dispatchers = tiers.flat()
    this.#line = new Tiers({
      tiers,
      onRefused: async (purge, provider, detail) => this.#putAside(purge, provider, detail),
      onDone: (purge, startedMs) => this.#done(purge, startedMs),
    })
    this.#rebounds = new Rebounds({
      time,
      reboundMs: options.reboundMs,
      onDue: (purge) => this.#line.run(purge),
      unsafeSkip: options.unsafe?.skipRebound,
    })
    const onRelease = (purges: readonly Purge[]): void => {
      this.#underway += purges.length
      for (const purge of purges) this.#run(purge)
    }
    this.#barrier = new Barrier({
      ...deps,
      coalescer: this.#coalescer,
      maxStalenessMs: options.maxStalenessMs,
      pollMs: options.barrierPollMs,
      onRelease,
      onTimeout: (count) => metrics.barrierTimedOut(count),
      isHeld: () => this.#isHeld(),
      unsafeSkip: options.unsafe?.skipBarrier,
    })
    const durable = async () => this.#accounts.durable()
    this.#intake = new LogIntake({ ...deps, coalescer: this.#coalescer, durable, onTaken: () => this.#barrier.wake() })
  }

  get closed(): Promise<void> {
    return this.#closed.promise
  }

  async start(): Promise<void> {
    const { log, options } = this.#deps
    void this.#watch()
    const handler = async (batch: LogBatch, signal: AbortSignal) => this.#receive(batch, signal)
    this.#subscription = await log.consume({ topic: TOPICS.purges, group: options.group }, handler)
    this.#subscription.closed.then(this.#closed.resolve, this.#closed.reject)
  }

  async stop(): Promise<void> {
    const { time, options, acks } = this.#deps
    this.#draining.abort()
    const deadlineMs = time.nowMs() + options.drainMs
    const isBusy = () => this.#backlog() + this.#orders.size + this.#rebounds.size > 0
    while (isBusy() && time.nowMs() < deadlineMs) await time.sleep(ROOM_POLL_MS)
    this.#stopping.abort()
    for (const reject of this.#orders) reject(new Error('the purger stopped'))
    this.#orders.clear()
    await this.#barrier.stop()
    this.#rebounds.stop()
    await Promise.all(this.#dispatchers.map(async (dispatcher) => dispatcher.stop()))
    await this.#accounts.close()
    await this.#subscription?.stop()
    await acks?.close()
    this.#closed.resolve()
  }

  submit(lane: OrderLane, { command, actor, replayOf }: PurgeOrder): Promise<OrderOutcome> {
    const { time } = this.#deps
    const { promise, resolve, reject } = Promise.withResolvers<OrderOutcome>()
    if (this.#draining.signal.aborted) return Promise.reject(new Error('the purger is stopping'))
    this.#orders.add(reject)
    const end = (outcome: OrderOutcome): void => {
      this.#orders.delete(reject)
      resolve(outcome)
    }
    const ticket = new BatchTicket(() => void this.#accounts.durable().then(() => end({ kind: 'purged' })))
    const tickets = new TicketSet()
    tickets.add(ticket)
    ticket.release()
    const { tag, commitTimeUs } = command
    const purge: Purge = {
      tag,
      key: encodeSurrogateKey(tag),
      phase: 'live',
      lane,
      command,
      commitTimeUs,
      arrivedMs: time.nowMs(),
      source: null,
      tickets,
      actor,
      replayOf,
      onRefused: (provider, detail) => end({ kind: 'refused', provider, detail }),
    }
    void this.#accounts.append({ state: 'accepted', atMs: time.wallMs(), phase: 'live', lane, items: [purge] })
    this.#run(purge)
    return promise
  }

  status(): PurgerStatus {
    const { commitToEdge } = this.#deps.metrics
    const providers = this.#dispatchers.map((dispatcher) => dispatcher.status())
    return {
      backlog: this.#backlog(),
      oldestAgeMs: this.#oldestAgeMs(),
      inFlight: providers.reduce((sum, { inFlight }) => sum + inFlight, 0),
      rebounds: this.#rebounds.size,
      providers,
      commitToEdge: commitToEdge.summary(),
      commitToEdgeCounts: commitToEdge.counts(),
    }
  }

  #dispatcherOf(provider: EdgeProvider, tier: number): Dispatcher {
    const { options, budgetOf, newId = randomUUID } = this.#deps
    return new Dispatcher({
      ...this.#deps,
      provider,
      tier,
      budget: budgetOf?.(provider) ?? null,
      policy: options.retry ?? RETRY_POLICY,
      escalation: options.escalation ?? NEVER,
      journal: (this.#deps.journal ?? noJournal) === noJournal ? null : this.#accounts,
      newId,
    })
  }

  #run(purge: Purge): void {
    this.#rebounds.begin(purge)
    this.#line.run(purge)
  }

  #backlog(): number {
    return this.#coalescer.size + this.#underway
  }

  #oldestAgeMs(): number {
    const all = [this.#coalescer, ...this.#dispatchers]
    const oldest = all.map(({ oldestMs }) => oldestMs).filter((at) => at !== null)
    return oldest.length === 0 ? 0 : Math.max(0, this.#deps.time.nowMs() - Math.min(...oldest))
  }

  #isHeld(): boolean {
    const { maxBacklogKeys, unsafe } = this.#deps.options
    return this.#intake.isCatchingUp && unsafe?.skipCatchUp !== true && this.#coalescer.size < maxBacklogKeys
  }

  /** Takes a batch in. It returns before the purges are done: the ticket commits the batch when they are. */
  async #receive(batch: LogBatch, signal: AbortSignal): Promise<void> {
    await this.#room(signal)
    // What is not committed is delivered again, here or at another member.
    if (signal.aborted || this.#draining.signal.aborted) return await aborted(signal)
    await this.#intake.take(batch, signal)
  }

  async #room(signal: AbortSignal): Promise<void> {
    const { time, options } = this.#deps
    const isFull = () => this.#backlog() >= options.maxBacklogKeys || this.#accounts.pending >= MAX_UNJOURNALED
    while (isFull() && !signal.aborted && !this.#draining.signal.aborted)
      await time.sleep(ROOM_POLL_MS, signal).catch(() => undefined)
  }

  async #putAside(purge: Purge, provider: string, detail: string): Promise<void> {
    // The live purge of the same command was put aside already.
    if (purge.phase === 'rebound') return
    if (purge.source === null) return purge.onRefused?.(provider, detail)
    const payload = encodeEvent(purge.command)
    const rejected: Rejected = { code: 'LOCKSTEP_CDN_KEY_REFUSED', detail, source: purge.source, payload }
    await writeDeadLetter(this.#deps, rejected, this.#stopping.signal)
  }

  #done(purge: Purge, startedMs: number): void {
    if (purge.phase === 'live' && purge.lane === 'live') {
      this.#underway -= 1
      // Infinite: every provider refused it, so nothing was evicted.
      if (Number.isFinite(startedMs)) this.#deps.metrics.purged(purge)
    }
    this.#rebounds.done(purge, startedMs)
  }

  async #watch(): Promise<void> {
    const { time, metrics } = this.#deps
    const { signal } = this.#stopping
    while (!signal.aborted) {
      metrics.backlog(this.#backlog(), this.#oldestAgeMs())
      for (const dispatcher of this.#dispatchers) dispatcher.tick()
      await time.sleep(GAUGE_MS, signal).catch(() => undefined)
    }
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
