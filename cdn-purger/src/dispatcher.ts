import type { Logger, TimeSource } from '@lockstep/runtime'
import type { Tag } from '@lockstep/schemas'
import { assertNever } from './assert-never.ts'
import { bisect } from './batch.ts'
import type { Escalation } from './escalation.ts'
import { escalate } from './escalation.ts'
import type { JournalWriter } from './journal/port.ts'
import type { PurgerMetrics } from './metrics.ts'
import { Pace } from './pace.ts'
import type { EdgeProvider, PurgeReply, RateBudget } from './ports.ts'
import { isOlder, PurgeQueue } from './purge-queue.ts'
import type { LaneName, PurgeOutcome, QueuedRequest, Slot, Waiter } from './purge-queue.ts'
import { RequestRecord } from './request-record.ts'

/** How failures are answered. */
export interface RetryPolicy {
  /** Pause after a 429 without Retry-After, ms. */
  readonly throttledMs: number
  /** Full jitter between nothing and `initialMs · 2ⁿ`, at most `maxMs`, after a failure. */
  readonly retry: { readonly initialMs: number; readonly maxMs: number }
  /** Pause while credentials or address are wrong, ms. */
  readonly deniedMs: number
}

/** Values from cdn-providers.md §5 and §12: Fastly and Akamai both ask for seconds, not minutes. */
export const RETRY_POLICY: RetryPolicy = {
  throttledMs: 5_000,
  retry: { initialMs: 100, maxMs: 30_000 },
  deniedMs: 30_000,
}

/** What a dispatcher needs. */
export interface DispatcherDeps {
  readonly provider: EdgeProvider
  /** Index of its tier, 0 next to the origin. */
  readonly tier: number
  /** Null: the provider is as fast as it answers. */
  readonly budget: RateBudget | null
  readonly policy: RetryPolicy
  readonly escalation: Escalation
  /** Null: nothing is journaled. */
  readonly journal: JournalWriter | null
  readonly newId: () => string
  readonly time: TimeSource
  readonly random: () => number
  readonly logger: Logger
  readonly metrics: PurgerMetrics
}

/** What a dispatcher says of its provider. */
export interface ProviderStatus {
  readonly name: string
  readonly tier: number
  readonly backlog: number
  readonly lanes: Readonly<Record<LaneName, number>>
  readonly inFlight: number
  /** `paused`: the provider asked for it, or failed; `denied`: the breaker is open until it takes our credentials. */
  readonly state: 'open' | 'paused' | 'denied'
  /** Share of the emptiest token bucket that is left; 1 where there are none. */
  readonly budgetFill: number
  /** How long it takes to drain what waits, at the pace the limits allow or else at the pace measured; null: unknown. */
  readonly drainMs: number | null
}

interface InFlight {
  readonly request: QueuedRequest
  readonly startedMs: number
  /** Requests that were acknowledged while this one was on its way. */
  readonly meanwhile: InFlight[]
}

/** Sends what waits for one provider. It never drops: what fails goes back and is sent again, for as long as it takes. */
export class Dispatcher {
  readonly #deps: DispatcherDeps
  readonly #queue: PurgeQueue
  readonly #pace: Pace
  readonly #stopping = new AbortController()
  readonly #sending = new Set<Promise<void>>()
  readonly #inFlight = new Set<InFlight>()
  #failures = 0
  #pausedUntilMs = 0
  #isDenied = false
  #isPumpDue = false
  #isAsking = false

  constructor(deps: DispatcherDeps) {
    this.#deps = deps
    this.#queue = new PurgeQueue(deps.provider.limits)
    this.#pace = new Pace(deps.provider.limits)
  }

  get name(): string {
    return this.#deps.provider.name
  }

  get oldestMs(): number | null {
    return this.#queue.oldestMs
  }

  status(): ProviderStatus {
    const isPaused = this.#deps.time.nowMs() < this.#pausedUntilMs
    return {
      name: this.name,
      tier: this.#deps.tier,
      backlog: this.#queue.size,
      lanes: this.#queue.sizes(),
      inFlight: this.#sending.size,
      state: this.#isDenied ? 'denied' : isPaused ? 'paused' : 'open',
      budgetFill: this.#pace.fill,
      drainMs: this.#drainMs(),
    }
  }

  /** Queues one purge; its `onOutcome` is called once, unless the dispatcher stops first. */
  submit(waiter: Waiter): void {
    this.#queue.add(waiter)
    this.#pumpSoon()
  }

  /** Measures the pace and climbs the ladder where the forecast is beyond the policy. Call about once a second. */
  tick(): void {
    const { escalation, journal, time, logger, metrics, provider, tier } = this.#deps
    this.#pace.tick(time.nowMs())
    const drainMs = this.#drainMs()
    metrics.forecast(provider.name, drainMs)
    if (drainMs === null || escalation.maxDrainMs === null || drainMs <= escalation.maxDrainMs) return
    const forecast = () => this.#drainMs() ?? 0
    for (const step of escalate(this.#queue, escalation, forecast)) {
      metrics.escalated(provider.name, step.level)
      logger.warn({ provider: provider.name, level: step.level, reason: step.reason }, 'purges escalated')
      const record = { provider: provider.name, tier, atMs: time.wallMs(), detail: step.reason }
      for (const entry of RequestRecord.escalated(record, step.covered)) void journal?.append(entry)
    }
  }

  /** Breaks off what is in flight. Whatever was not purged stays uncommitted and comes again. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#sending)
    await this.#deps.provider.close()
    await this.#deps.budget?.close()
  }

  #drainMs(): number | null {
    return this.#pace.drainMs(this.#queue.size)
  }

  /** All that arrives in one turn of the event loop shares a request. */
  #pumpSoon(): void {
    if (this.#isPumpDue) return
    this.#isPumpDue = true
    queueMicrotask(() => {
      this.#isPumpDue = false
      this.#pump()
    })
  }

  #pump(): void {
    const { time, budget } = this.#deps
    while (!this.#stopping.signal.aborted && !this.#isAsking && time.nowMs() >= this.#pausedUntilMs) {
      if (!this.#mayFly() || this.#queue.size === 0) return
      if (budget) return this.#ask(budget)
      const request = this.#queue.take()
      if (request) this.#fly(request)
    }
  }

  /** After a failure one request probes the provider; its success opens it again. */
  #mayFly(): boolean {
    return this.#sending.size < (this.#failures > 0 || this.#isDenied ? 1 : this.#deps.provider.limits.concurrency)
  }

  /** Waits for the window, then for tokens. What arrives meanwhile travels in the same request. */
  #ask(budget: RateBudget): void {
    const { time } = this.#deps
    const { signal } = this.#stopping
    this.#isAsking = true
    const ask = async (): Promise<void> => {
      const windowMs = this.#pace.windowMs(time.nowMs(), this.#queue.nextKeys)
      if (windowMs > 0) await time.sleep(windowMs, signal)
      // Meanwhile an answer may have closed the way.
      if (time.nowMs() < this.#pausedUntilMs || !this.#mayFly()) return
      const grant = await budget.take(this.#queue.nextKeys)
      this.#pace.granted(grant, time.nowMs())
      if (grant.keys === 0) return await time.sleep(Math.max(1, grant.waitMs), signal)
      const request = signal.aborted ? null : this.#queue.take(grant.keys)
      if (request) this.#fly(request)
    }
    const asking = ask()
      .catch((error: unknown) => {
        if (!signal.aborted) throw error
      })
      .finally(() => {
        this.#isAsking = false
        this.#pump()
      })
    void asking
  }

  #fly(request: QueuedRequest): void {
    const flight: InFlight = { request, startedMs: this.#deps.time.nowMs(), meanwhile: [] }
    this.#inFlight.add(flight)
    const sending = this.#send(flight).finally(() => {
      this.#inFlight.delete(flight)
      this.#sending.delete(sending)
      this.#pump()
    })
    this.#sending.add(sending)
  }

  #pause(ms: number): void {
    const { time } = this.#deps
    const untilMs = time.nowMs() + ms
    if (untilMs <= this.#pausedUntilMs) return
    this.#pausedUntilMs = untilMs
    const resume = () => {
      // A timer may fire a fraction early; a longer pause that began meanwhile has a timer of its own.
      if (this.#pausedUntilMs === untilMs) this.#pausedUntilMs = 0
      this.#pump()
    }
    time.sleep(ms, this.#stopping.signal).then(resume, () => undefined)
  }

  async #send(flight: InFlight): Promise<void> {
    const { provider, time, metrics, tier, newId } = this.#deps
    const { signal } = this.#stopping
    const { slots, isEverything, lane } = flight.request
    for (const slot of slots) slot.attempts += 1
    const record = new RequestRecord({ provider: provider.name, tier, batch: newId(), sentAtMs: time.wallMs() })
    let reply: PurgeReply
    try {
      const purge = async () =>
        provider.purge(
          slots.map(({ key }) => key),
          signal,
        )
      reply = await (isEverything ? provider.purgeAll(signal) : purge())
    } catch (error) {
      if (signal.aborted) return this.#queue.putBack(flight.request)
      reply = { kind: 'unavailable', detail: String(error) }
    }
    metrics.answered(provider.name, { reply, keys: slots.length, phase: lane === 'rebound' ? 'rebound' : 'live' })
    this.#judge(flight, reply, record)
  }

  #judge(flight: InFlight, reply: PurgeReply, record: RequestRecord): void {
    const { policy, logger, random, metrics, time, journal } = this.#deps
    const provider = this.name
    if (reply.kind !== 'denied' && this.#isDenied) {
      this.#isDenied = false
      logger.info({ provider }, 'edge accepts our credentials again')
    }
    if (journal) for (const entry of record.answered(reply, flight.request, time.wallMs())) void journal.append(entry)
    switch (reply.kind) {
      case 'purged':
        this.#failures = 0
        if (reply.restMs !== undefined) this.#rest(reply.restMs)
        return this.#purged(flight, record)
      case 'refused':
        this.#failures = 0
        return this.#refuse(flight.request, reply.detail)
      case 'throttled':
        this.#return(flight, record)
        return this.#rest(reply.retryAfterMs ?? policy.throttledMs)
      case 'denied':
        if (!this.#isDenied) {
          metrics.denied(provider)
          logger.error({ provider, detail: reply.detail }, 'edge denies purges, check token and address')
        }
        this.#isDenied = true
        this.#return(flight, record)
        return this.#pause(policy.deniedMs)
      case 'unavailable': {
        if (this.#failures === 0)
          logger.warn({ provider, detail: reply.detail }, 'edge unavailable, purges are retried')
        const mostMs = reply.retryWithinMs ?? policy.retry.maxMs
        const ceilingMs = Math.min(mostMs, policy.retry.initialMs * 2 ** Math.min(this.#failures, 20))
        this.#failures += 1
        this.#return(flight, record)
        return this.#pause(random() * ceilingMs)
      }
      default:
        return assertNever(reply)
    }
  }

  /** Leaves the provider alone, here and in every other process that shares its budget. */
  #rest(ms: number): void {
    this.#pause(ms)
    void this.#deps.budget?.pause(ms)
  }

  #purged(flight: InFlight, record: RequestRecord): void {
    const { slots } = flight.request
    for (const other of this.#inFlight) if (other !== flight) other.meanwhile.push(flight)
    this.#pace.purged(slots.length)
    // What failed meanwhile waits here again.
    this.#overtake(this.#queue.takeOlder(slots), record, () => flight.startedMs)
    this.#settle(slots, { kind: 'purged', startedMs: flight.startedMs })
  }

  /**
   * Puts back what failed, except what a newer purge of the same tag overtook: sent again it would purge for an older
   * change what was already purged for a newer one.
   */
  #return({ request, startedMs, meanwhile }: InFlight, record: RequestRecord): void {
    if (meanwhile.length === 0) return this.#queue.putBack(request)
    const purged = new Map<Tag, { readonly slot: Slot; readonly other: InFlight }>()
    for (const other of meanwhile) {
      for (const slot of other.request.slots) {
        const known = purged.get(slot.tag)
        if (!known || known.slot.stamp <= slot.stamp) purged.set(slot.tag, { slot, other })
      }
    }
    const [left, overtaken]: [Slot[], Slot[]] = [[], []]
    for (const slot of request.slots) {
      const newer = purged.get(slot.tag)
      const isLater = newer && newer.other.startedMs >= startedMs && newer.slot.stamp >= slot.stamp
      if (newer && (isLater || isOlder(slot, newer.slot))) overtaken.push(slot)
      else left.push(slot)
    }
    this.#queue.putBack({ slots: left })
    this.#overtake(overtaken, record, ({ tag }) => purged.get(tag)?.other.startedMs ?? 0)
  }

  /** Ends purges that a newer one of their tag, sent at `startedMs`, has made needless. */
  #overtake(overtaken: readonly Slot[], record: RequestRecord, startedMs: (slot: Slot) => number): void {
    if (overtaken.length === 0) return
    const { journal, time } = this.#deps
    for (const entry of record.overtaken(overtaken, time.wallMs())) void journal?.append(entry)
    for (const slot of overtaken) this.#settle([slot], { kind: 'purged', startedMs: startedMs(slot) })
  }

  #refuse(request: QueuedRequest, detail: string): void {
    const { slots, isEverything } = request
    if (slots.length <= 1 || isEverything) return this.#settle(slots, { kind: 'refused', detail })
    this.#queue.putHalves(request, bisect(slots))
  }

  #settle(slots: readonly Slot[], outcome: PurgeOutcome): void {
    for (const slot of slots) for (const waiter of slot.waiters) waiter.onOutcome(outcome, this.name)
  }
}
