import { waitFor } from '@lockstep/runtime/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { EdgeProvider } from '../ports.ts'
import type { EdgeRead, Page } from './test-origin.ts'
import { takeBatch } from './take-batch.ts'

/** One edge with an origin behind it, as the contract drives it. */
export interface ProviderTarget {
  readonly provider: EdgeProvider
  /** The same edge with credentials it does not accept. */
  readonly denied: EdgeProvider
  set(path: string, page: Page): void
  read(path: string): Promise<EdgeRead>
  close(): Promise<void>
}

const never = new AbortController().signal

/** Registers the laws of `EdgeProvider`; every adapter keeps them against its real edge, and so does the fake. */
export function registerProviderContract(name: string, createTarget: () => Promise<ProviderTarget>): void {
  describe(`${name} keeps the provider contract`, () => {
    let target: ProviderTarget
    let paths = 0
    const freshPath = () => `/contract/${(paths += 1)}`

    beforeAll(async () => {
      target = await createTarget()
    })
    afterAll(async () => {
      await target.close()
    })

    /** Has the edge keep `body` under `tags`, then gives the origin a newer body. */
    const keepThenChange = async (path: string, tags: readonly string[]) => {
      target.set(path, { body: 'old', tags })
      expect(await target.read(path)).toMatchObject({ label: 'MISS', body: 'old' })
      target.set(path, { body: 'new', tags })
      expect(await target.read(path)).toMatchObject({ label: 'HIT', body: 'old' })
    }

    test('a kept response answers until its tag is purged, then the next read brings the new one', async () => {
      const path = freshPath()
      await keepThenChange(path, ['one.1', 'list'])
      expect(await target.provider.purge(['one.1'], never)).toMatchObject({ kind: 'purged' })
      expect(await target.read(path)).toMatchObject({ label: 'MISS', body: 'new' })
      expect(await target.read(path)).toMatchObject({ label: 'HIT', body: 'new' })
    })

    test('any one of its tags removes a response, and no other', async () => {
      const [purged, kept] = [freshPath(), freshPath()]
      await keepThenChange(purged, ['two.1', 'two.2', 'two.3'])
      await keepThenChange(kept, ['two.20'])
      await target.provider.purge(['two.2'], never)
      expect(await target.read(purged)).toMatchObject({ label: 'MISS', body: 'new' })
      expect(await target.read(kept)).toMatchObject({ label: 'HIT', body: 'old' })
    })

    test('an unknown key is no failure', async () => {
      expect(await target.provider.purge(['nobody-has-this'], never)).toMatchObject({ kind: 'purged' })
    })

    test('a 304 without tags leaves the response purgeable', async () => {
      const path = freshPath()
      target.set(path, { body: 'old', tags: ['three.1'], etag: '"a"', freshness: 'max-age=1' })
      await target.read(path)
      await waitFor(async () => (await target.read(path)).label !== 'HIT', 5_000)
      target.set(path, { body: 'new', tags: ['three.1'], etag: '"b"' })
      expect(await target.read(path)).toMatchObject({ label: 'HIT', body: 'old' })
      await target.provider.purge(['three.1'], never)
      expect(await target.read(path)).toMatchObject({ label: 'MISS', body: 'new' })
    })

    test('five hundred keys are purged in requests that each stay within the limits', async () => {
      const { limits } = target.provider
      const pages = Array.from({ length: 500 }, (_, index) => ({ path: freshPath(), key: `many-long-enough.${index}` }))
      for (const { path, key } of pages) {
        target.set(path, { body: 'old', tags: [key] })
        await target.read(path)
        target.set(path, { body: 'new', tags: [key] })
      }
      const queue = new Map(pages.map((page) => [page.key, page]))
      let requests = 0
      for (; queue.size > 0; requests += 1) {
        const keys = takeBatch(queue, limits).map((page) => page.key)
        expect(keys.length).toBeLessThanOrEqual(limits.maxKeys)
        expect(keys.join(' ').length).toBeLessThanOrEqual(limits.maxBytes)
        expect(await target.provider.purge(keys, never)).toMatchObject({ kind: 'purged' })
      }
      expect(requests).toBeGreaterThanOrEqual(Math.ceil(pages.length / limits.maxKeys))
      for (const { path } of pages) expect(await target.read(path)).toMatchObject({ label: 'MISS', body: 'new' })
    })

    test('purgeAll removes everything, tagged or not', async () => {
      const [tagged, plain] = [freshPath(), freshPath()]
      await keepThenChange(tagged, ['four.1'])
      await keepThenChange(plain, [])
      expect(await target.provider.purgeAll(never)).toMatchObject({ kind: 'purged' })
      expect(await target.read(tagged)).toMatchObject({ body: 'new' })
      expect(await target.read(plain)).toMatchObject({ body: 'new' })
    })

    test('a wrong token is denied, and nothing is purged', async () => {
      const path = freshPath()
      await keepThenChange(path, ['five.1'])
      expect(await target.denied.purge(['five.1'], never)).toMatchObject({ kind: 'denied' })
      expect(await target.denied.purgeAll(never)).toMatchObject({ kind: 'denied' })
      expect(await target.read(path)).toMatchObject({ label: 'HIT', body: 'old' })
    })

    test('an aborted purge rejects', async () => {
      await expect(target.provider.purge(['six.1'], AbortSignal.abort(new Error('stopping')))).rejects.toThrow(
        'stopping',
      )
    })
  })
}
