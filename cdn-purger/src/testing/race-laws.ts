import { afterEach, describe, expect, test } from 'vitest'
import { waitFor } from '@lockstep/runtime/testing'
import type { EdgeProvider } from '../ports.ts'
import type { PurgerOptions } from '../purger.ts'
import { startRealPurger, withReadBefore } from './real-purger.ts'
import { readEdge, startTestOrigin } from './test-origin.ts'

/** One running cache and the provider that purges it. */
export interface RaceTier {
  readonly url: string
  readonly port: number
  readonly provider: EdgeProvider
  stop(): Promise<void>
}

const REBOUND_MS = 300
// The outer tier writes its label last, some behind that of the tier before.
const [HIT, MISS] = [/HIT$/, /MISS$/].map((end) => expect.stringMatching(end) as string)

/** Registers the races of purging, each also with its protection switched off: then the stale response must remain. */
export function registerRaceLaws(
  name: string,
  startTier: (originPort: number, tier: string) => Promise<RaceTier>,
): void {
  describe(`${name} under races`, () => {
    const cleanups: (() => Promise<void>)[] = []
    afterEach(async () => {
      for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
    })

    /** Two tiers before an origin, and what a client reads through them. */
    const startTiers = async () => {
      const origin = await startTestOrigin()
      cleanups.push(async () => origin.stop())
      const shield = await startTier(origin.port, 'shield')
      cleanups.push(async () => shield.stop())
      const edge = await startTier(shield.port, 'edge')
      cleanups.push(async () => edge.stop())
      return { origin, shield, edge, read: async () => readEdge(edge.url, '/p') }
    }
    const startPurger = async (
      tiers: readonly (readonly EdgeProvider[])[],
      options: Omit<Parameters<typeof startRealPurger>[1], 'reboundMs'>,
    ) => {
      const purger = await startRealPurger(tiers, { reboundMs: REBOUND_MS, ...options })
      cleanups.push(async () => purger.purger.stop())
      return purger
    }

    /** A fetch begins, the change is purged from both tiers, and only then the old response arrives there. */
    const purgeDuringFetch = async (unsafe?: PurgerOptions['unsafe']) => {
      const { origin, shield, edge, read } = await startTiers()
      const purger = await startPurger([[shield.provider], [edge.provider]], { unsafe })
      origin.set('/p', { body: 'old', tags: ['product.1'] })
      const gate = origin.hold('/p')
      const slow = read()
      await waitFor(() => origin.requests.length === 1, 5_000)
      origin.set('/p', { body: 'new', tags: ['product.1'] })
      await purger.purge('product:1')
      gate.release()
      expect((await slow).body).toBe('old')
      expect(await read()).toMatchObject({ label: HIT, body: 'old' })
      await purger.idle()
      return await read()
    }

    test('a fetch that was in flight during the purge is caught by the rebound', async () => {
      expect(await purgeDuringFetch()).toMatchObject({ label: MISS, body: 'new' })
    })

    test('without the rebound its old response stays (the protection is what removes it)', async () => {
      expect(await purgeDuringFetch({ skipRebound: true })).toMatchObject({ label: HIT, body: 'old' })
    })

    /** A client reads through the edge between the purges of the two tiers. No rebound helps here. */
    const readBetweenTiers = async (order: 'outward' | 'inward') => {
      const { origin, shield, edge, read } = await startTiers()
      const [first, second] = order === 'outward' ? [shield, edge] : [edge, shield]
      const between = withReadBefore(second.provider, read)
      const purger = await startPurger([[first.provider], [between]], { unsafe: { skipRebound: true } })
      origin.set('/p', { body: 'old', tags: ['product.1'] })
      await read()
      origin.set('/p', { body: 'new', tags: ['product.1'] })
      await purger.purge('product:1')
      return (await read()).body
    }

    test('a read between two tiers pins nothing when they are purged from the origin outward', async () => {
      expect(await readBetweenTiers('outward')).toBe('new')
    })

    test('purged inward, the same read pins the old response (the order is what prevents it)', async () => {
      expect(await readBetweenTiers('inward')).toBe('old')
    })

    /** A process has not dropped the old value from its memory yet when the command comes. */
    const purgeBeforeMemoryIsClean = async (unsafe: PurgerOptions['unsafe']) => {
      const { origin, shield, edge, read } = await startTiers()
      let applied = '4-0'
      const acks = {
        read: async () => Promise.resolve({ nowMs: 0, acks: [{ process: 'api', busId: applied, atMs: 0 }] }),
        onHint: () => undefined,
        close: async () => Promise.resolve(),
      }
      const purger = await startPurger([[shield.provider], [edge.provider]], { acks, unsafe })
      // The process answers from its memory, whatever the database says.
      origin.set('/p', { body: 'old', tags: ['product.1'] })
      await read()
      const purged = purger.purge('product:1', '5-0')
      await waitFor(
        () => purger.purger.status().backlog === 1 || purger.purger.status().commitToEdge.count === 1,
        5_000,
      )
      if (unsafe?.skipBarrier) await purged
      await read()
      origin.set('/p', { body: 'new', tags: ['product.1'] })
      applied = '5-0'
      await purged
      return (await read()).body
    }

    test('a purge waits until the processes behind the edge have applied the change', async () => {
      expect(await purgeBeforeMemoryIsClean({ skipRebound: true })).toBe('new')
    })

    test('purged earlier, both tiers are refilled with the old value (the barrier is what prevents it)', async () => {
      expect(await purgeBeforeMemoryIsClean({ skipRebound: true, skipBarrier: true })).toBe('old')
    })
  })
}
