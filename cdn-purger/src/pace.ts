import type { Grant, PurgeLimits } from './ports.ts'

// Long enough to fill requests under pressure, short beside what any provider takes to act.
const MAX_WINDOW_MS = 250
// Share of the budget below which requests begin to wait for company.
const TIGHT_BELOW = 0.5
// Weight of the newest second in the measured pace.
const NEWEST = 0.3

/** How fast one provider may be, and is, purged. */
export class Pace {
  readonly #limits: PurgeLimits
  #fill = 1
  #lastSentMs = Number.NEGATIVE_INFINITY
  #purgedSinceTick = 0
  #lastTickMs: number | null = null
  #keysPerSecond: number | null = null

  constructor(limits: PurgeLimits) {
    this.#limits = limits
  }

  /** Share of the emptiest bucket that was left by the newest request. */
  get fill(): number {
    return this.#fill
  }

  /** How long the next request should still wait for company: not at all while the budget is ample or the request full. */
  windowMs(nowMs: number, keys: number): number {
    if (keys >= this.#limits.maxKeys) return 0
    const tightness = Math.min(1, Math.max(0, (TIGHT_BELOW - this.#fill) / TIGHT_BELOW))
    return Math.max(0, this.#lastSentMs + MAX_WINDOW_MS * tightness - nowMs)
  }

  granted({ keys, fill }: Grant, nowMs: number): void {
    this.#fill = fill
    if (keys > 0) this.#lastSentMs = nowMs
  }

  purged(keys: number): void {
    this.#purgedSinceTick += keys
  }

  /** Closes a span of measurement; one without work says nothing of the pace. */
  tick(nowMs: number): void {
    const spanMs = this.#lastTickMs === null ? 0 : nowMs - this.#lastTickMs
    if (spanMs > 0 && this.#purgedSinceTick > 0) {
      const rate = (this.#purgedSinceTick * 1_000) / spanMs
      this.#keysPerSecond = this.#keysPerSecond === null ? rate : this.#keysPerSecond * (1 - NEWEST) + rate * NEWEST
    }
    this.#purgedSinceTick = 0
    this.#lastTickMs = nowMs
  }

  /** How long `backlog` keys take, ms; null while neither limits nor measurement tell. */
  drainMs(backlog: number): number | null {
    if (backlog === 0) return 0
    const { rates, maxKeys } = this.#limits
    if (rates.length === 0) return this.#keysPerSecond === null ? null : (backlog * 1_000) / this.#keysPerSecond
    return rates.reduce((longest, { unit, perSecond, burst }) => {
      const tokens = unit === 'keys' ? backlog : Math.ceil(backlog / maxKeys)
      return Math.max(longest, (Math.max(0, tokens - this.#fill * burst) * 1_000) / perSecond)
    }, 0)
  }
}
