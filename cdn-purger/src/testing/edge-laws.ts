import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readEdge, startTestOrigin } from './test-origin.ts'
import type { TestOrigin } from './test-origin.ts'

/** One edge in front of a test origin. */
export interface EdgeTarget {
  readonly url: string
  purge(key: string): Promise<unknown>
  stop(): Promise<void>
}

/** Registers what we ask of any cache in front of the API, whoever wrote it. */
export function registerEdgeLaws(name: string, startEdge: (origin: TestOrigin) => Promise<EdgeTarget>): void {
  describe(`${name} is an edge that keeps its promises`, () => {
    let origin: TestOrigin
    let edge: EdgeTarget
    let paths = 0
    const freshPath = () => `/law/${(paths += 1)}`
    const read = async (path: string, init?: RequestInit) => readEdge(edge.url, path, init)

    beforeAll(async () => {
      origin = await startTestOrigin()
      edge = await startEdge(origin)
    })
    afterAll(async () => {
      await edge.stop()
      await origin.stop()
    })

    test.for(['authorization', 'cookie', 'lockstep-token'])(
      'a request with %s neither reads nor fills the store',
      async (field) => {
        const path = freshPath()
        origin.set(path, { body: 'private' })
        const init = { headers: { [field]: 'secret=1' } }
        expect(await read(path, init)).toMatchObject({ label: 'PASS', body: 'private' })
        origin.set(path, { body: 'public' })
        expect(await read(path)).toMatchObject({ label: 'MISS', body: 'public' })
        origin.set(path, { body: 'private' })
        expect(await read(path, init)).toMatchObject({ label: 'PASS', body: 'private' })
        expect(await read(path)).toMatchObject({ label: 'HIT', body: 'public' })
      },
    )

    test('CDN-Cache-Control replaces Cache-Control', async () => {
      const [kept, refused] = [freshPath(), freshPath()]
      origin.set(kept, {
        body: 'x',
        freshness: 'max-age=60',
        headers: { 'cache-control': 'public, max-age=0, must-revalidate' },
      })
      origin.set(refused, { body: 'x', freshness: 'no-store', headers: { 'cache-control': 'public, max-age=60' } })
      for (const path of [kept, refused]) await read(path)
      expect((await read(kept)).label).toBe('HIT')
      expect((await read(refused)).label).not.toBe('HIT')
    })

    test.for([
      ['no explicit freshness', {}],
      ['a Cache-Control without a lifetime', { 'cache-control': 'public' }],
      ['Cache-Control: private', { 'cache-control': 'private, max-age=60' }],
      ['Cache-Control: no-store', { 'cache-control': 'no-store' }],
      ['Set-Cookie', { 'cache-control': 'max-age=60', 'set-cookie': 'a=1' }],
      ['Vary: *', { 'cache-control': 'max-age=60', vary: '*' }],
    ] as const)('a response with %s is not stored', async ([, headers]) => {
      const path = freshPath()
      origin.set(path, { body: 'x', freshness: '', headers })
      await read(path)
      expect((await read(path)).label).not.toBe('HIT')
    })

    test('s-maxage is honoured where there is no CDN-Cache-Control', async () => {
      const path = freshPath()
      origin.set(path, { body: 'x', freshness: '', headers: { 'cache-control': 'max-age=0, s-maxage=60' } })
      await read(path)
      expect((await read(path)).label).toBe('HIT')
    })

    test('each variant that Vary names is kept for itself, and a purge removes them all', async () => {
      const path = freshPath()
      for (const language of ['de', 'en']) {
        origin.set(path, { body: language, tags: ['varied'], headers: { vary: 'Accept-Language' } })
        await read(path, { headers: { 'accept-language': language } })
      }
      const readBoth = async () =>
        Promise.all(['de', 'en'].map(async (language) => read(path, { headers: { 'accept-language': language } })))
      expect(await readBoth()).toMatchObject([
        { label: 'HIT', body: 'de' },
        { label: 'HIT', body: 'en' },
      ])
      await edge.purge('varied')
      expect(await readBoth()).toMatchObject([{ label: 'MISS' }, { label: 'MISS' }])
    })

    test('a client cannot tag a response by its own header', async () => {
      const path = freshPath()
      origin.set(path, { body: 'x', tags: ['true-tag'] })
      await read(path, { headers: { xkey: 'forged', 'surrogate-key': 'forged' } })
      await edge.purge('forged')
      expect((await read(path)).label).toBe('HIT')
    })

    test.for([
      ['stored', 'max-age=60', 'HIT'],
      ['revalidated', 'max-age=0', /^(?:MISS|REVALIDATED)$/],
    ] as const)('an answer that is %s names the request it is given to, not the one that brought it', async (law) => {
      const [, freshness, label] = law
      const path = freshPath()
      origin.set(path, { body: 'x', etag: '"v1"', freshness, headers: { 'x-request-id': 'of-the-origin' } })
      const nameOf = async (name?: string) => {
        const init = name === undefined ? {} : { headers: { 'x-request-id': name } }
        const { headers } = await fetch(edge.url + path, init)
        return [headers.get('x-request-id') ?? '', headers.get('x-cache') ?? ''] as const
      }
      expect(await nameOf('the-first')).toEqual(['the-first', 'MISS'])
      expect(await nameOf('the-second')).toEqual(['the-second', expect.stringMatching(label)])
      const invented = await Promise.all([nameOf(), nameOf(), nameOf('not a name'), nameOf('x'.repeat(200))])
      expect(new Set(invented.map(([name]) => name)).size).toBe(4)
      for (const [name] of invented) expect(name).toMatch(/^[\w.~-]{8,128}$/)
      expect(JSON.stringify(invented)).not.toMatch(/of-the-origin|the-first|the-second/)
    })

    test('a successful write through the edge invalidates its target', async () => {
      const path = freshPath()
      origin.set(path, { body: 'old' })
      await read(path)
      origin.set(path, { body: 'new' })
      expect((await read(path, { method: 'PUT', body: 'new' })).label).toBe('PASS')
      expect(await read(path)).toMatchObject({ label: 'MISS', body: 'new' })
    })

    test('concurrent misses of one URL reach the origin once', async () => {
      const path = freshPath()
      origin.set(path, { body: 'x' })
      const gate = origin.hold(path)
      const reads = Array.from({ length: 20 }, async () => read(path))
      const before = origin.requests.filter((request) => request.endsWith(path)).length
      setTimeout(() => gate.release(), 50)
      const bodies = await Promise.all(reads)
      expect(bodies.every(({ body }) => body === 'x')).toBe(true)
      expect(before).toBeLessThanOrEqual(1)
      expect(origin.requests.filter((request) => request.endsWith(path))).toHaveLength(1)
    })

    test('a tagged 404 is kept, and purging its tag reveals the new entity', async () => {
      const path = freshPath()
      origin.set(path, { body: 'missing', status: 404, tags: ['entity.9'] })
      await read(path)
      origin.set(path, { body: 'here', tags: ['entity.9'] })
      expect(await read(path)).toMatchObject({ label: 'HIT', status: 404 })
      await edge.purge('entity.9')
      expect(await read(path)).toMatchObject({ label: 'MISS', status: 200, body: 'here' })
    })

    test('HEAD and conditional requests are answered from what a GET stored', async () => {
      const path = freshPath()
      origin.set(path, { body: 'whole', etag: '"v1"' })
      await read(path)
      expect(await read(path, { method: 'HEAD' })).toMatchObject({ label: 'HIT', status: 200, body: '' })
      expect(await read(path, { headers: { 'if-none-match': '"v1"' } })).toMatchObject({ status: 304, body: '' })
      expect(origin.requests.filter((request) => request.endsWith(path))).toHaveLength(1)
    })
  })
}
