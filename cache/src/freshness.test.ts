import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { Freshness } from './freshness.ts'
import type { CacheClock } from './types.ts'

/** Three clocks that run apart: this process' monotonic and wall clock, and Redis' own. Times in ms. */
class Clocks implements CacheClock {
  mono = 10_000
  wallOffset = 1_000_000
  redisOffset = 5_000_000

  now(): number {
    return this.mono
  }

  wall(): number {
    return this.mono + this.wallOffset
  }

  redis(): number {
    return this.mono + this.redisOffset
  }

  sleep(): Promise<void> {
    return Promise.resolve()
  }

  echo(): string {
    return `${Math.round(this.redis() * 1000)}`
  }

  /** Samples with a request that takes `thereMs` to the server and `backMs` from it. */
  async sample(freshness: Freshness, thereMs = 0, backMs = 0): Promise<void> {
    await freshness.sample(() => {
      this.mono += thereMs
      const timeUs = BigInt(Math.round(this.redis() * 1000))
      this.mono += backMs
      return Promise.resolve(timeUs)
    })
  }
}

describe('cache/freshness', () => {
  let clocks: Clocks
  let freshness: Freshness
  beforeEach(() => {
    clocks = new Clocks()
    freshness = new Freshness(clocks)
  })

  test('Redis time lies between the two bounds that are told of it', async () => {
    const way = fc.integer({ min: 0, max: 500 })
    await fc.assert(
      fc.asyncProperty(way, way, way, async (thereMs, backMs, laterMs) => {
        await clocks.sample(freshness, thereMs, backMs)
        clocks.mono += laterMs
        // Redis' clock runs as fast as it may, or as slow.
        for (const drift of [-0.0005, 0, 0.0005]) {
          const redis = clocks.redis() + drift * laterMs
          expect(freshness.redisAtLeastMs(clocks.now())).toBeLessThanOrEqual(redis)
          expect((freshness.redisNowMs(clocks.now()) ?? 0) + 0.001 * (laterMs + backMs)).toBeGreaterThanOrEqual(redis)
        }
      }),
    )
    clocks.wallOffset += 3_600_000
    expect(freshness.redisAtLeastMs(clocks.now())).toBeNull()
  })

  test('a machine suspended while the time of Redis is on its way vouches for nothing', async () => {
    await clocks.sample(freshness)
    freshness.applied(clocks.echo())
    await freshness.sample(() => {
      const timeUs = BigInt(Math.round(clocks.redis() * 1000))
      clocks.wallOffset += 3_600_000
      clocks.redisOffset += 3_600_000
      return Promise.resolve(timeUs)
    })
    // Nor for the reads of this turn, which do not look for a jump again.
    expect(freshness.isWithinThisTurn(clocks.now(), 5_000)).toBe(false)
    expect(freshness.redisThisTurnMs(clocks.now())).toBeNull()
    expect(freshness.ageMs(clocks.now())).toBeNull()
  })

  test('without a sample or without an echo nothing vouches', async () => {
    freshness.applied(clocks.echo())
    expect(freshness.ageMs(clocks.now())).toBeNull()
    const other = new Freshness(clocks)
    await clocks.sample(other)
    expect(other.ageMs(clocks.now())).toBeNull()
    expect(other.isWithin(clocks.now(), 1e9)).toBe(false)
  })

  test('the age is never under-estimated and exceeds the truth by the time to the server at most', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(500), fc.nat(500), fc.nat(10_000), async (thereMs, backMs, passedMs) => {
        const it = new Clocks()
        const known = new Freshness(it)
        const echoedAt = it.mono
        known.applied(it.echo())
        await it.sample(known, thereMs, backMs)
        it.mono += passedMs
        const age = known.ageMs(it.now()) ?? Number.NaN
        const truth = it.mono - echoedAt
        expect(age).toBeGreaterThanOrEqual(truth - 0.001)
        expect(age).toBeLessThanOrEqual(truth + thereMs + 0.001)
      }),
    )
  })

  test('an older echo never makes the age smaller or greater', async () => {
    await clocks.sample(freshness)
    freshness.applied(clocks.echo())
    const old = clocks.echo()
    clocks.mono += 500
    freshness.applied(clocks.echo())
    freshness.applied(old)
    freshness.applied('')
    expect(freshness.ageMs(clocks.now())).toBeCloseTo(0, 2)
  })

  test('an echo from the future of the mapped clock does not vouch', async () => {
    await clocks.sample(freshness)
    freshness.applied(`${Math.round((clocks.redis() + 50) * 1000)}`)
    expect(freshness.ageMs(clocks.now())).toBeNull()
  })

  test.each([1_500, -1_500])(
    'a wall clock that jumps by %i ms voids the mapping until the next sample',
    async (jump) => {
      await clocks.sample(freshness)
      freshness.applied(clocks.echo())
      clocks.wallOffset += jump
      expect(freshness.ageMs(clocks.now())).toBeNull()
      clocks.wallOffset -= jump
      expect(freshness.ageMs(clocks.now())).toBeNull()
      await clocks.sample(freshness)
      expect(freshness.ageMs(clocks.now())).toBeCloseTo(0, 2)
    },
  )

  test('a server clock that goes back never makes what was applied before look younger', async () => {
    await clocks.sample(freshness)
    freshness.applied(clocks.echo())
    const before = clocks.echo()
    clocks.mono += 1_000
    clocks.redisOffset -= 10_000
    await clocks.sample(freshness)
    expect(freshness.ageMs(clocks.now())).toBeNull()
    clocks.mono += 9_500
    freshness.applied(before)
    freshness.applied(clocks.echo())
    expect(freshness.ageMs(clocks.now())).toBeNull()
    clocks.mono += 2_000
    freshness.applied(clocks.echo())
    expect(freshness.ageMs(clocks.now())).toBeCloseTo(0, 2)
  })

  test('a failed sample keeps the mapping and the age goes on growing', async () => {
    await clocks.sample(freshness)
    freshness.applied(clocks.echo())
    await expect(freshness.sample(() => Promise.reject(new Error('away')))).rejects.toThrow('away')
    clocks.mono += 3_000
    expect(freshness.ageMs(clocks.now())).toBeCloseTo(3_000, 2)
  })
})
