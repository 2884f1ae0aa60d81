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

    /** A fetch begins, the change is purged, and only then the old response arrives at the edge. */
    const purgeDuringFetch = async (unsafe?: PurgerOptions['unsafe']) => {
      const origin = await startTestOrigin()
      cleanups.push(async () => origin.stop())
      const edge = await startTier(origin.port, 'edge')
      cleanups.push(async () => edge.stop())
      const purger = await startRealPurger([[edge.provider]], { reboundMs: REBOUND_MS, unsafe })
      cleanups.push(async () => purger.purger.stop())
      origin.set('/p', { body: 'old', tags: ['product.1'] })
      const gate = origin.hold('/p')
      const slow = readEdge(edge.url, '/p')
      await waitFor(() => origin.requests.length === 1, 5_000)
      origin.set('/p', { body: 'new', tags: ['product.1'] })
      await purger.purge('product:1')
      gate.release()
      expect((await slow).body).toBe('old')
      expect(await readEdge(edge.url, '/p')).toMatchObject({ label: 'HIT', body: 'old' })
      await purger.idle()
      return await readEdge(edge.url, '/p')
    }

    test('a fetch that was in flight during the purge is caught by the rebound', async () => {
      expect(await purgeDuringFetch()).toMatchObject({ label: 'MISS', body: 'new' })
    })

    test('without the rebound its old response stays (the protection is what removes it)', async () => {
      expect(await purgeDuringFetch({ skipRebound: true })).toMatchObject({ label: 'HIT', body: 'old' })
    })

    /** A client reads through the edge between the purges of the two tiers. No rebound helps here. */
    const readBetweenTiers = async (order: 'outward' | 'inward') => {
      const origin = await startTestOrigin()
      cleanups.push(async () => origin.stop())
      const shield = await startTier(origin.port, 'shield')
      cleanups.push(async () => shield.stop())
      const edge = await startTier(shield.port, 'edge')
      cleanups.push(async () => edge.stop())
      const [first, second] = order === 'outward' ? [shield, edge] : [edge, shield]
      const between = withReadBefore(second.provider, async () => readEdge(edge.url, '/p'))
      const tiers = [[first.provider], [between]]
      const purger = await startRealPurger(tiers, { reboundMs: REBOUND_MS, unsafe: { skipRebound: true } })
      cleanups.push(async () => purger.purger.stop())
      origin.set('/p', { body: 'old', tags: ['product.1'] })
      await readEdge(edge.url, '/p')
      origin.set('/p', { body: 'new', tags: ['product.1'] })
      await purger.purge('product:1')
      return (await readEdge(edge.url, '/p')).body
    }

    test('a read between two tiers pins nothing when they are purged from the origin outward', async () => {
      expect(await readBetweenTiers('outward')).toBe('new')
    })

    test('purged inward, the same read pins the old response (the order is what prevents it)', async () => {
      expect(await readBetweenTiers('inward')).toBe('old')
    })
  })
}
