import { assertNever } from './assert-never.ts'
import type { Logger, TimeSource } from '@lockstep/runtime'
import { bisect } from './batch.ts'
import { LaneQueue } from './lane-queue.ts'
import type { LaneBatch, OnOutcome, PurgeOutcome } from './lane-queue.ts'
import type { PurgerMetrics } from './metrics.ts'
import type { EdgeProvider, PurgeReply } from './ports.ts'
import type { Purge } from './purge.ts'

/** How a lane treats its provider. */
export interface LanePolicy {
  /** Requests in flight at most; what arrives meanwhile becomes the next batch. */
  readonly concurrency: number
  /** Pause after a 429 without Retry-After, ms. */
  readonly throttledMs: number
  /** Full jitter between nothing and `initialMs · 2ⁿ`, at most `maxMs`, after a failure. */
  readonly retry: { readonly initialMs: number; readonly maxMs: number }
  /** Pause while credentials or address are wrong, ms. */
  readonly deniedMs: number
}

/** Values from cdn-providers.md §5 and §12: Fastly and Akamai both ask for seconds, not minutes. */
export const LANE_POLICY: LanePolicy = {
  concurrency: 2,
  throttledMs: 5_000,
  retry: { initialMs: 100, maxMs: 30_000 },
  deniedMs: 30_000,
}

/** What a lane needs. */
export interface LaneDeps {
  readonly provider: EdgeProvider
  readonly policy: LanePolicy
  readonly time: TimeSource
  readonly random: () => number
  readonly logger: Logger
  readonly metrics: PurgerMetrics
}

/** What a lane says of itself. */
export interface LaneStatus {
  readonly name: string
  readonly backlog: number
  readonly inFlight: number
  readonly state: 'open' | 'paused' | 'denied'
}

/** The queue in front of one provider. It never drops: what fails goes back and is sent again, for as long as it takes. */
export class Lane {
  readonly #deps: LaneDeps
  readonly #queue: LaneQueue
  readonly #stopping = new AbortController()
  readonly #sending = new Set<Promise<void>>()
  #failures = 0
  #pausedUntilMs = 0
  #isDenied = false
  #isPumpDue = false

  constructor(deps: LaneDeps) {
    this.#deps = deps
    this.#queue = new LaneQueue(deps.provider.limits)
  }

  get name(): string {
    return this.#deps.provider.name
  }

  get oldestMs(): number | null {
    return this.#queue.oldestMs
  }

  status(): LaneStatus {
    const isPaused = this.#deps.time.nowMs() < this.#pausedUntilMs
    const state = this.#isDenied ? 'denied' : isPaused ? 'paused' : 'open'
    return { name: this.name, backlog: this.#queue.size, inFlight: this.#sending.size, state }
  }

  /** Queues one purge; `onOutcome` is called once, unless the lane stops first. */
  submit(purge: Purge, onOutcome: OnOutcome): void {
    this.#queue.add(purge, onOutcome)
    this.#pumpSoon()
  }

  /** Breaks off what is in flight. Whatever was not purged stays uncommitted and comes again. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#sending)
    await this.#deps.provider.close()
  }

  /** All that arrives in one turn of the event loop shares a batch; a window would only add latency. */
  #pumpSoon(): void {
    if (this.#isPumpDue) return
    this.#isPumpDue = true
    queueMicrotask(() => {
      this.#isPumpDue = false
      this.#pump()
    })
  }

  #pump(): void {
    const { policy, time } = this.#deps
    while (!this.#stopping.signal.aborted && time.nowMs() >= this.#pausedUntilMs) {
      // After a failure one request probes the provider; its success opens the lane again.
      if (this.#sending.size >= (this.#failures > 0 || this.#isDenied ? 1 : policy.concurrency)) return
      const batch = this.#queue.take()
      if (!batch) return
      const sending = this.#send(batch).finally(() => {
        this.#sending.delete(sending)
        this.#pump()
      })
      this.#sending.add(sending)
    }
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

  async #send(batch: LaneBatch): Promise<void> {
    const { provider, time, metrics } = this.#deps
    const startedMs = time.nowMs()
    const { signal } = this.#stopping
    const keys = [...new Set(batch.slots.map((slot) => slot.key))]
    let reply: PurgeReply
    try {
      reply = await (batch.isEverything ? provider.purgeAll(signal) : provider.purge(keys, signal))
    } catch (error) {
      if (signal.aborted) return this.#queue.putBack(batch)
      reply = { kind: 'unavailable', detail: String(error) }
    }
    metrics.answered(provider.name, { reply, keys: keys.length, phase: batch.phase })
    this.#judge(batch, reply, startedMs)
  }

  #judge(batch: LaneBatch, reply: PurgeReply, startedMs: number): void {
    const { policy, logger, random } = this.#deps
    const provider = this.name
    if (reply.kind !== 'denied' && this.#isDenied) {
      this.#isDenied = false
      logger.info({ provider }, 'edge accepts our credentials again')
    }
    switch (reply.kind) {
      case 'purged':
        this.#failures = 0
        return settle(batch, { kind: 'purged', startedMs })
      case 'refused':
        this.#failures = 0
        return this.#refuse(batch, reply.detail)
      case 'throttled':
        this.#queue.putBack(batch)
        return this.#pause(reply.retryAfterMs ?? policy.throttledMs)
      case 'denied':
        if (!this.#isDenied)
          logger.error({ provider, detail: reply.detail }, 'edge denies purges, check token and address')
        this.#isDenied = true
        this.#queue.putBack(batch)
        return this.#pause(policy.deniedMs)
      case 'unavailable': {
        if (this.#failures === 0)
          logger.warn({ provider, detail: reply.detail }, 'edge unavailable, purges are retried')
        const ceilingMs = Math.min(policy.retry.maxMs, policy.retry.initialMs * 2 ** Math.min(this.#failures, 20))
        this.#failures += 1
        this.#queue.putBack(batch)
        return this.#pause(random() * ceilingMs)
      }
      default:
        return assertNever(reply)
    }
  }

  #refuse(batch: LaneBatch, detail: string): void {
    if (batch.slots.length <= 1 || batch.isEverything) return settle(batch, { kind: 'refused', detail })
    this.#queue.putHalves(batch, bisect(batch.slots))
  }
}

function settle(batch: LaneBatch, outcome: PurgeOutcome): void {
  for (const slot of batch.slots) for (const { onOutcome } of slot.waiters) onOutcome(outcome)
}
