import { FakeTime } from '@lockstep/runtime/testing'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createLocalBudget, TokenBuckets, withMargin } from './local-budget.ts'
import { registerBudgetContract } from './testing/budget-contract.ts'

registerBudgetContract('the budget of one process', (limits) => {
  const nowMs = () => performance.now()
  const budget = createLocalBudget(limits, nowMs)
  return Promise.resolve({ first: budget, second: budget, close: () => Promise.resolve() })
})

describe('cdn-purger/local-budget', () => {
  test('whatever is asked when, no bucket grants more than its burst and what came in since', () => {
    const asks = fc.array(fc.record({ afterMs: fc.nat(3_000), wanted: fc.integer({ min: 1, max: 50 }) }), {
      maxLength: 60,
      size: 'max',
    })
    fc.assert(
      fc.property(asks, (steps) => {
        const buckets = new TokenBuckets([
          { unit: 'requests', perSecond: 2, burst: 5 },
          { unit: 'keys', perSecond: 10, burst: 40 },
        ])
        let [nowMs, requests, keys] = [0, 0, 0]
        for (const { afterMs, wanted } of steps) {
          nowMs += afterMs
          const grant = buckets.take(wanted, nowMs)
          expect(grant.keys > 0).toBe(grant.waitMs === 0)
          if (grant.keys > 0) requests += 1
          keys += grant.keys
          expect(requests).toBeLessThanOrEqual(5 + (2 * nowMs) / 1_000 + 1e-6)
          expect(keys).toBeLessThanOrEqual(40 + (10 * nowMs) / 1_000 + 1e-6)
        }
      }),
    )
  })

  test('coming back after the wait it names is enough', async () => {
    const time = new FakeTime()
    const budget = createLocalBudget([{ unit: 'keys', perSecond: 3, burst: 2 }], () => time.nowMs())
    expect(await budget.take(5)).toMatchObject({ keys: 2, fill: 0 })
    const { waitMs } = await budget.take(1)
    await time.advance(Math.ceil(waitMs))
    expect(await budget.take(1)).toMatchObject({ keys: 1 })
  })

  test('the margin lowers every rate a little and leaves at least one token', () => {
    expect(withMargin([{ unit: 'keys', perSecond: 100, burst: 1 }])).toEqual([
      { unit: 'keys', perSecond: 99.2, burst: 1 },
    ])
  })
})
