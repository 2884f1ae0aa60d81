import type { Grant, RateBudget, RateLimit } from './ports.ts'

/**
 * Token buckets by the generic cell rate algorithm: per bucket only the time at which it would be full again. The Lua of
 * `adapters/redis-budget.ts` is the same arithmetic.
 */
export class TokenBuckets {
  readonly #limits: readonly RateLimit[]
  readonly #fullAtMs: number[]
  #pausedUntilMs = 0

  constructor(limits: readonly RateLimit[]) {
    this.#limits = limits
    this.#fullAtMs = limits.map(() => 0)
  }

  /** Takes the tokens of one request of up to `wanted` keys at `nowMs`, or none. */
  take(wanted: number, nowMs: number): Grant {
    if (nowMs < this.#pausedUntilMs) return { keys: 0, waitMs: this.#pausedUntilMs - nowMs, fill: 0 }
    const left = this.#limits.map(({ perSecond, burst }, index) => {
      return burst - (Math.max(0, (this.#fullAtMs[index] ?? 0) - nowMs) * perSecond) / 1_000
    })
    const waitMs = Math.max(0, ...this.#limits.map(({ perSecond }, i) => ((1 - (left[i] ?? 0)) * 1_000) / perSecond))
    if (waitMs > 0) return { keys: 0, waitMs, fill: 0 }
    const keys = this.#limits.reduce((least, { unit }, i) => {
      return unit === 'keys' ? Math.min(least, Math.floor(left[i] ?? 0)) : least
    }, wanted)
    let fill = 1
    for (const [index, { unit, perSecond, burst }] of this.#limits.entries()) {
      const cost = unit === 'keys' ? keys : 1
      this.#fullAtMs[index] = Math.max(nowMs, this.#fullAtMs[index] ?? 0) + (cost * 1_000) / perSecond
      fill = Math.min(fill, ((left[index] ?? 0) - cost) / burst)
    }
    return { keys, waitMs: 0, fill }
  }

  /** Empties nothing, but grants nothing until `untilMs`. */
  pause(untilMs: number): void {
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, untilMs)
  }
}

/** Makes a budget that only this process draws on. */
export function createLocalBudget(limits: readonly RateLimit[], nowMs: () => number): RateBudget {
  const buckets = new TokenBuckets(limits)
  return {
    take: async (wanted) => Promise.resolve(buckets.take(wanted, nowMs())),
    pause: async (ms) => Promise.resolve(buckets.pause(nowMs() + ms)),
    close: async () => Promise.resolve(),
  }
}

// Requests take different times on their way: what left us evenly may arrive bunched, and clocks differ a little.
const RATE_MARGIN = 0.992
const BURST_MARGIN = 0.9

/** Lowers limits a little, so that what keeps them here is not above them there. */
export function withMargin(limits: readonly RateLimit[]): RateLimit[] {
  return limits.map(({ unit, perSecond, burst }) => {
    return { unit, perSecond: perSecond * RATE_MARGIN, burst: Math.max(1, Math.floor(burst * BURST_MARGIN)) }
  })
}
