import { afterEach, describe, expect, test } from 'vitest'
import type { RateBudget, RateLimit } from '../ports.ts'

/** Two purger processes that draw on one budget. */
export interface BudgetTarget {
  readonly first: RateBudget
  readonly second: RateBudget
  close(): Promise<void>
}

/** Registers the laws of `RateBudget`, on real clocks: the buckets of Redis go by its own. */
export function registerBudgetContract(
  name: string,
  create: (limits: readonly RateLimit[]) => Promise<BudgetTarget>,
): void {
  describe(`${name} keeps the budget contract`, () => {
    let target: BudgetTarget | null = null
    afterEach(async () => target?.close())
    // So slow that nothing comes in while a test runs.
    const slow = (unit: RateLimit['unit'], burst: number): RateLimit => ({ unit, perSecond: 0.01, burst })

    test('both processes together get what is in the bucket, and are told how long to wait then', async () => {
      target = await create([slow('requests', 3)])
      const grants = [await target.first.take(10), await target.second.take(10), await target.first.take(10)]
      expect(grants.map(({ keys }) => keys)).toEqual([10, 10, 10])
      expect(grants.map(({ fill }) => Math.round(fill * 3))).toEqual([2, 1, 0])
      const { keys, waitMs } = await target.second.take(10)
      expect(keys).toBe(0)
      expect(waitMs).toBeGreaterThan(90_000)
      expect(waitMs).toBeLessThanOrEqual(100_000)
    })

    test('where fewer keys are left than wanted, they are granted', async () => {
      target = await create([slow('requests', 100), slow('keys', 15)])
      expect(await target.first.take(10)).toMatchObject({ keys: 10, waitMs: 0 })
      expect(await target.second.take(10)).toMatchObject({ keys: 5, waitMs: 0 })
      expect(await target.first.take(10)).toMatchObject({ keys: 0 })
    })

    test('what one bucket refuses costs nothing in the other', async () => {
      target = await create([slow('requests', 2), { unit: 'keys', perSecond: 20, burst: 1 }])
      expect(await target.first.take(1)).toMatchObject({ keys: 1 })
      const refused = [await target.first.take(1), await target.first.take(1), await target.first.take(1)]
      expect(refused.map(({ keys }) => keys)).toEqual([0, 0, 0])
      await new Promise((resolve) => setTimeout(resolve, 60))
      expect(await target.first.take(1)).toMatchObject({ keys: 1 })
    })

    test('tokens come in at the rate', async () => {
      target = await create([{ unit: 'requests', perSecond: 50, burst: 1 }])
      const startedMs = performance.now()
      let granted = 0
      while (granted < 10) {
        const { keys, waitMs } = await target.first.take(1)
        if (keys > 0) granted += 1
        else await new Promise((resolve) => setTimeout(resolve, Math.ceil(waitMs)))
      }
      expect(performance.now() - startedMs).toBeGreaterThan(175)
    })

    test('a pause holds for both', async () => {
      target = await create([slow('requests', 3)])
      await target.first.pause(60_000)
      const { keys, waitMs } = await target.second.take(1)
      expect(keys).toBe(0)
      expect(waitMs).toBeGreaterThan(59_000)
    })
  })
}
