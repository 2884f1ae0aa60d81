import type { CacheClock } from './types.ts'

/** A wall clock that runs away from the monotonic one by more than this (ms) means that the machine was suspended. */
const CLOCK_JUMP_MS = 1_000

/** Two clocks may drift apart by this share: twice what NTP slews at most (500 ppm). */
const DRIFT = 0.001

interface Mapping {
  /** Upper bound of (Redis time − monotonic time), ms: makes every age too great rather than too small. */
  readonly offset: number
  /** Lower bound of the same. */
  readonly floor: number
  /** Monotonic ms of the sample. */
  readonly at: number
  /** Wall − monotonic before the sample, ms. */
  readonly skew: number
}

/**
 * Knows how old what this process has applied is. An echo is a Redis time r that reached the connector before the snapshot
 * of the applied watermark, so everything visible at r is applied: age = Redis time now − r. Redis time is mapped to the
 * monotonic clock by samples: T was read after t0, so Redis time r passed at a local time ≥ t0 − (T − r).
 */
export class Freshness {
  readonly #clock: CacheClock
  readonly #ignoreJump: boolean
  #mapping: Mapping | null = null
  #echoMs: number | null = null
  #echoFloorMs = Number.NEGATIVE_INFINITY
  /** Monotonic ms as of which everything is applied, not before it really is; NaN = cannot vouch. */
  #asOf = Number.NaN
  #isAlone = false

  constructor(clock: CacheClock, options: { readonly ignoreJump?: boolean | undefined } = {}) {
    this.#clock = clock
    this.#ignoreJump = options.ignoreJump ?? false
  }

  /** Maps Redis time anew. A failed sample keeps the old mapping: monotonic clocks go on without Redis. */
  async sample(timeUs: () => Promise<bigint>): Promise<void> {
    const before = this.#clock.now()
    const skew = this.#clock.wall() - before
    const timeMs = Number(await timeUs()) / 1000
    const after = this.#clock.now()
    const next = {
      offset: timeMs - before,
      floor: timeMs - after,
      at: after,
      // From before the request: a suspension while the answer is on its way is then a jump like any other.
      skew,
    }
    const previous = this.#mapping
    // Redis' clock went back: echoes from before would look younger than they are, so only ones from behind that time count.
    if (previous && next.offset < previous.floor - 1 - DRIFT * (after - previous.at)) {
      this.#echoFloorMs = Math.max(this.#echoFloorMs, after + previous.offset)
      this.#echoMs = null
    }
    this.#mapping = next
    this.#judge()
    // Reads of this turn may have looked for a jump already.
    this.#valid(after)
  }

  /** Takes note of an applied echo (µs, decimal; '' = none). */
  applied(echo: string): void {
    if (echo === '') return
    const echoMs = Number(echo) / 1000
    if (echoMs <= this.#echoFloorMs) return
    if (this.#echoMs === null || echoMs > this.#echoMs) this.#echoMs = echoMs
    this.#judge()
  }

  /** Forgets what was applied: nothing vouches until the next echo. */
  reset(): void {
    this.#echoMs = null
    this.#judge()
  }

  /** Redis time now, ms, not before it really is that late; null without a mapping. */
  redisNowMs(now: number): number | null {
    const mapping = this.#valid(now)
    return mapping && now + mapping.offset
  }

  /** What `redisNowMs` says, in a turn for which `beginTurn` has looked for a jump. */
  redisThisTurnMs(now: number): number | null {
    return this.#mapping && now + this.#mapping.offset
  }

  /** Redis time now, ms, at least; null without a mapping. */
  redisAtLeastMs(now: number): number | null {
    const mapping = this.#valid(now)
    return mapping && now + mapping.floor - DRIFT * (now - mapping.at)
  }

  /** Age at monotonic time `now`, ms, never under-estimated; null = cannot vouch. */
  ageMs(now: number): number | null {
    if (this.#isAlone) return 0
    if (this.#echoMs === null) return null
    const mapping = this.#valid(now)
    if (!mapping) return null
    const age = now + mapping.offset - this.#echoMs
    // An echo from the future belongs to another clock.
    return age < 0 ? null : age
  }

  /** Tells whether the age is at most `limitMs`. */
  isWithin(now: number, limitMs: number): boolean {
    const age = this.ageMs(now)
    return age !== null && age <= limitMs
  }

  /** The same, in a turn for which `beginTurn` has looked for a jump: two comparisons. */
  isWithinThisTurn(now: number, limitMs: number): boolean {
    const age = now - this.#asOf
    return (age >= 0 && age <= limitMs) || this.#isAlone
  }

  /** What `ageMs` says, in a turn for which `beginTurn` has looked for a jump. */
  ageThisTurnMs(now: number): number | null {
    if (this.#isAlone) return 0
    const age = now - this.#asOf
    return age >= 0 ? age : null
  }

  /** There is nobody to hear from: everything that happens happens here. */
  standAlone(): void {
    this.#isAlone = true
  }

  /** Looks whether the machine was suspended: once per turn of the event loop is enough, see `Turn`. */
  beginTurn(now: number): void {
    this.#valid(now)
  }

  #valid(now: number): Mapping | null {
    const mapping = this.#mapping
    if (!mapping || this.#ignoreJump) return mapping
    const jump = this.#clock.wall() - now - mapping.skew
    if (jump <= CLOCK_JUMP_MS && jump >= -CLOCK_JUMP_MS) return mapping
    this.#mapping = null
    this.#judge()
    return null
  }

  #judge(): void {
    this.#asOf = this.#mapping === null || this.#echoMs === null ? Number.NaN : this.#echoMs - this.#mapping.offset
  }
}
