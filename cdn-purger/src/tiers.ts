import type { Dispatcher } from './dispatcher.ts'
import type { PurgeOutcome, Waiter } from './purge-queue.ts'
import type { Purge } from './purge.ts'

/** What the tiers need. */
export interface TiersDeps {
  /** From the origin outward. The providers of one tier are purged side by side, each tier after the one before it. */
  readonly tiers: readonly (readonly Dispatcher[])[]
  /** Keeps a purge that a provider refuses for good; resolves when that is durable. */
  readonly onRefused: (purge: Purge, provider: string, detail: string) => Promise<void>
  /** Called once per purge when every tier has it. `startedMs`: when its first request was sent, Infinity if all refused. */
  readonly onDone: (purge: Purge, startedMs: number) => void
}

/**
 * Leads purges through the tiers. An edge purged before its shield would fetch the old response from it and keep it
 * for its whole lifetime.
 */
export class Tiers {
  readonly #deps: TiersDeps

  constructor(deps: TiersDeps) {
    this.#deps = deps
  }

  run(purge: Purge): void {
    new Passage(this.#deps, purge).enter()
  }
}

/** One purge on its way: one object for all tiers, because hundreds of thousands are on their way in a storm. */
class Passage implements Waiter {
  readonly purge: Purge
  readonly #deps: TiersDeps
  #next = 0
  #open = 0
  #startedMs = Number.POSITIVE_INFINITY

  constructor(deps: TiersDeps, purge: Purge) {
    this.#deps = deps
    this.purge = purge
  }

  enter(): void {
    const tier = this.#deps.tiers[this.#next]
    if (!tier) return this.#deps.onDone(this.purge, this.#startedMs)
    this.#next += 1
    this.#open = tier.length
    for (const dispatcher of tier) dispatcher.submit(this)
  }

  onOutcome(outcome: PurgeOutcome, provider: string): void {
    if (outcome.kind === 'purged') {
      this.#startedMs = Math.min(this.#startedMs, outcome.startedMs)
      return this.#close()
    }
    this.#deps.onRefused(this.purge, provider, outcome.detail).then(
      () => this.#close(),
      () => undefined,
    )
  }

  #close(): void {
    this.#open -= 1
    if (this.#open === 0) this.enter()
  }
}
