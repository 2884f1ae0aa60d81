import type { Dispatcher } from './dispatcher.ts'
import type { PurgeOutcome } from './purge-queue.ts'
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
    this.#enter(purge, 0, Number.POSITIVE_INFINITY)
  }

  #enter(purge: Purge, index: number, startedMs: number): void {
    const tier = this.#deps.tiers[index]
    if (!tier) return this.#deps.onDone(purge, startedMs)
    let earliestMs = startedMs
    let open = tier.length
    const close = () => {
      open -= 1
      if (open === 0) this.#enter(purge, index + 1, earliestMs)
    }
    for (const dispatcher of tier) {
      dispatcher.submit(purge, (outcome: PurgeOutcome) => {
        if (outcome.kind === 'purged') {
          earliestMs = Math.min(earliestMs, outcome.startedMs)
          return close()
        }
        this.#deps.onRefused(purge, dispatcher.name, outcome.detail).then(close, () => undefined)
      })
    }
  }
}
