import { signToken } from '@lockstep/cache'
import { encodeSurrogateKey, parseStamp, type Tag } from '@lockstep/schemas'
import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fail } from './errors.ts'
import { registerShopContract } from './testing/shop-contract.ts'
import { SECRET, World, type Process } from './testing/world.ts'

const key = (tag: string): string => encodeSurrogateKey(tag as Tag)
const keysOf = (response: LightMyRequestResponse): string[] =>
  String(response.headers['surrogate-key'] ?? '').split(' ')
const lamp = { name: 'Lamp', priceCents: 100, categoryId: 1 }

/** Nobody may keep the answer: not an edge, not a browser. */
function expectNotStorable(response: LightMyRequestResponse): void {
  expect(response.headers['cache-control']).toContain('no-store')
  expect(response.headers).not.toHaveProperty('cdn-cache-control')
  expect(response.headers).not.toHaveProperty('surrogate-key')
}

function expectProblem(response: LightMyRequestResponse, status: number): void {
  expect(response.statusCode).toBe(status)
  expect(response.headers['content-type']).toContain('application/problem+json')
  expect(response.json()).toMatchObject({ type: 'about:blank', status })
  expectNotStorable(response)
}

registerShopContract('the shop in memory', () => {
  const world = new World()
  return Promise.resolve(world.shop)
})

describe('api/app', () => {
  let world: World
  let one: Process
  let productId: number

  beforeEach(async () => {
    world = new World()
    one = await world.start()
    productId = (await world.shop.create(lamp, null)).row.id
  })
  afterEach(() => world.stop())

  const get = (url: string, headers: Record<string, string> = {}, { app } = one) => app.inject({ url, headers })
  const put = (payload: object, { app } = one) => app.inject({ method: 'PUT', url: `/products/${productId}`, payload })

  test('a read is loaded once, then answered from L1, with the same body, tags and edge lifetime', async () => {
    const first = await get(`/products/${productId}`)
    const second = await get(`/products/${productId}`)
    expect(first.headers['cache-status']).toBe('lockstep-l1; fwd=miss; stored')
    expect(second.headers['cache-status']).toBe('lockstep-l1; hit')
    expect(second.json()).toMatchObject({ ...lamp, id: productId, version: 1 })
    expect(second.body).toBe(first.body)
    for (const response of [first, second]) {
      expect(response.statusCode).toBe(200)
      expect(keysOf(response).toSorted()).toEqual([key(`product:${productId}`), key('product:*'), key('*')].toSorted())
      expect(response.headers['cdn-cache-control']).toBe('max-age=60')
      expect(response.headers['cache-control']).toBe('public, max-age=0, must-revalidate')
    }
    expect(one.cache.stats()).toMatchObject({ loads: 1, l1Hit: 1 })
  })

  test('HEAD answers as GET does, without the body', async () => {
    const full = await get(`/products/${productId}`)
    const head = await one.app.inject({ method: 'HEAD', url: `/products/${productId}` })
    expect(head.body).toBe('')
    for (const name of ['etag', 'surrogate-key', 'cdn-cache-control', 'content-length'])
      expect(head.headers[name]).toBe(full.headers[name])
  })

  test('a product that changes category leaves no list stale', async () => {
    const other = await world.start()
    const lists = async () => {
      const ids: number[][] = []
      // One after the other: time stands still, so nobody could wait for another process' load.
      for (const process of [one, other]) {
        for (const category of [1, 2]) {
          const response = await get(`/categories/${category}/products`, {}, process)
          expect(keysOf(response)).toContain(key(`category:${category}`))
          ids.push(response.json<{ items: { id: number }[] }>().items.map(({ id }) => id))
        }
      }
      return ids
    }
    expect(await lists()).toEqual([[productId], [], [productId], []])
    await put({ categoryId: 2 })
    // Until the fences arrive the lists are old: that is what they are for.
    expect(await lists()).toEqual([[productId], [], [productId], []])
    await world.fence([`product:${productId}`, 'category:1', 'category:2'])
    expect(await lists()).toEqual([[], [productId], [], [productId]])
  })

  test('lists of different lengths are kept apart', async () => {
    await world.shop.create(lamp, null)
    const lengthOf = async (query: string) =>
      (await get(`/categories/1/products${query}`)).json<{ items: unknown[] }>().items.length
    expect([await lengthOf('?limit=1'), await lengthOf('?limit=2'), await lengthOf('')]).toEqual([1, 2, 2])
  })

  test('categories are one list with one tag', async () => {
    const response = await get('/categories')
    expect(response.json()).toEqual({
      items: [
        { id: 1, name: 'Lamps' },
        { id: 2, name: 'Chairs' },
      ],
    })
    expect(keysOf(response)).toContain(key('categories'))
  })

  test('a revalidation is answered 304 and repeats tags, lifetime and ETag', async () => {
    const full = await get(`/products/${productId}`)
    const etag = String(full.headers.etag)
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`]) {
      const response = await get(`/products/${productId}`, { 'if-none-match': known })
      expect(response.statusCode).toBe(304)
      expect(response.body).toBe('')
      for (const name of ['etag', 'surrogate-key', 'cdn-cache-control', 'cache-control'])
        expect(response.headers[name]).toBe(full.headers[name])
    }
    await put({ priceCents: 1 })
    await world.fence([`product:${productId}`, 'category:1'])
    const changed = await get(`/products/${productId}`, { 'if-none-match': etag })
    expect(changed.statusCode).toBe(200)
    expect(changed.json()).toMatchObject({ priceCents: 1 })
  })

  test('what was fenced lately may stay at the edge for a second only, until the second purge is over', async () => {
    await world.fence([`product:${productId}`])
    expect((await get(`/products/${productId}`)).headers['cdn-cache-control']).toBe('max-age=1')
    expect((await get('/categories')).headers['cdn-cache-control']).toBe('max-age=60')
    await world.pass(2_500)
    expect((await get(`/products/${productId}`)).headers['cdn-cache-control']).toBe('max-age=60')
  })

  test('a missing product is kept shortly under its tag, and its INSERT purges it', async () => {
    const missing = await get('/products/2')
    expect(missing.statusCode).toBe(404)
    expect(missing.headers['content-type']).toContain('application/problem+json')
    expect(missing.headers['cdn-cache-control']).toBe('max-age=10')
    expect(keysOf(missing)).toContain(key('product:2'))
    expect((await get('/products/2')).headers['cache-status']).toBe('lockstep-l1; hit')
    const created = await one.app.inject({ method: 'POST', url: '/products', payload: lamp })
    expect(created.statusCode).toBe(201)
    expect(created.headers.location).toBe('/products/2')
    await world.fence(['product:2', 'category:1'])
    expect((await get('/products/2')).statusCode).toBe(200)
  })

  test.each([
    ['Authorization', { authorization: 'Bearer x' }],
    ['a cookie', { cookie: 'session=x' }],
  ])('an answer to a request with %s is for nobody else', async (_what, headers) => {
    for (const url of [`/products/${productId}`, '/products/404', '/categories', '/me/recent']) {
      const response = await get(url, headers)
      expect(response.headers['cache-control']).toMatch(/no-store/)
      expectNotStorable(response)
    }
    expect((await get(`/products/${productId}`, headers)).headers['cache-control']).toBe('private, no-store')
  })

  test('recent changes are those of the asker, and nobody is told without credentials', async () => {
    const anna = { authorization: 'Bearer anna' }
    await one.app.inject({ method: 'PUT', url: `/products/${productId}`, payload: { priceCents: 7 }, headers: anna })
    const mine = await get('/me/recent', anna)
    expect(mine.json()).toMatchObject({ items: [{ id: productId, priceCents: 7 }] })
    expect(mine.headers['cache-control']).toBe('private, no-store')
    expect((await get('/me/recent', { authorization: 'Bearer berta' })).json()).toEqual({ items: [] })
    const refused = await get('/me/recent')
    expectProblem(refused, 401)
    expect(refused.headers['www-authenticate']).toBe('Bearer')
  })

  describe('bad input', () => {
    const json = { 'content-type': 'application/json' }
    const cases: [status: number, what: string, request: InjectOptions][] = [
      [400, 'an unknown query parameter', { url: '/products/1?fresh=1' }],
      [400, 'an unknown query parameter of a list', { url: '/categories/1/products?limit=1&utm_source=x' }],
      [400, 'an unknown query parameter of the categories', { url: '/categories?x' }],
      [400, 'a parameter named as a prototype', { url: '/categories?__proto__=x' }],
      [400, 'a prototype beside a known parameter', { url: '/categories/1/products?limit=1&__proto__=x' }],
      [400, 'a repeated parameter', { url: '/categories/1/products?limit=1&limit=2' }],
      [400, 'a limit of zero', { url: '/categories/1/products?limit=0' }],
      [400, 'a limit above the bound', { url: '/categories/1/products?limit=101' }],
      [400, 'an empty limit', { url: '/categories/1/products?limit=' }],
      [400, 'an id of zero', { url: '/products/0' }],
      [400, 'a negative id', { url: '/products/-1' }],
      [400, 'a fraction', { url: '/products/1.5' }],
      [400, 'a second spelling of an id', { url: '/products/01' }],
      [400, 'a hexadecimal id', { url: '/products/0x1' }],
      [400, 'an exponent', { url: '/products/1e0' }],
      [400, 'a blank before an id', { url: '/products/%201' }],
      [400, 'an id beyond 2^53', { url: '/products/9007199254740993' }],
      [400, 'a word for an id', { url: '/products/abc' }],
      [400, 'an id with a false extension', { url: '/products/1.css' }],
      [400, 'a broken escape', { url: '/products/%zz' }],
      [414, 'an endless id', { url: `/products/${'1'.repeat(200)}` }],
      [404, 'an unknown route', { url: '/nothing' }],
      [404, 'a path below a product', { url: '/products/1/x.css' }],
      [405, 'an unknown method', { method: 'PATCH', url: '/products/1', payload: {} }],
      [404, 'a change of nothing that exists', { method: 'PUT', url: '/products/404', payload: { name: 'x' } }],
      [404, 'a removal of nothing that exists', { method: 'DELETE', url: '/products/404' }],
      [400, 'an empty change', { method: 'PUT', url: '/products/1', payload: {} }],
      [400, 'a change of an unknown property', { method: 'PUT', url: '/products/1', payload: { name: 'x', id: 2 } }],
      [400, 'a price of null', { method: 'PUT', url: '/products/1', payload: { priceCents: null } }],
      [400, 'a price as text', { method: 'PUT', url: '/products/1', payload: { priceCents: '5' } }],
      [400, 'a negative price', { method: 'PUT', url: '/products/1', payload: { priceCents: -1 } }],
      [400, 'a fractional price', { method: 'PUT', url: '/products/1', payload: { priceCents: 1.5 } }],
      [400, 'a truth for a price', { method: 'PUT', url: '/products/1', payload: { priceCents: true } }],
      [400, 'an empty name', { method: 'PUT', url: '/products/1', payload: { name: '' } }],
      [400, 'an endless name', { method: 'PUT', url: '/products/1', payload: { name: 'x'.repeat(201) } }],
      [400, 'a NUL in a name', { method: 'PUT', url: '/products/1', payload: { name: 'a\0b' } }],
      [400, 'a product without a price', { method: 'POST', url: '/products', payload: { name: 'x', categoryId: 1 } }],
      [400, 'a list for a body', { method: 'POST', url: '/products', payload: [] }],
      [400, 'a broken body', { method: 'POST', url: '/products', headers: json, payload: '{' }],
      [400, 'no body', { method: 'POST', url: '/products', headers: json }],
      [413, 'an endless body', { method: 'POST', url: '/products', headers: json, payload: 'x'.repeat(65 * 1024) }],
      [
        415,
        'another media type',
        { method: 'POST', url: '/products', headers: { 'content-type': 'text/csv' }, payload: 'x' },
      ],
      [422, 'an unknown category', { method: 'PUT', url: '/products/1', payload: { categoryId: 99 } }],
      [
        422,
        'a product of an unknown category',
        { method: 'POST', url: '/products', payload: { ...lamp, categoryId: 99 } },
      ],
    ]

    test.each(cases)('%i for %s, never to be stored', async (status, _what, request) => {
      expectProblem(await one.app.inject(request), status)
      expect(await world.shop.product(productId)).toMatchObject({ ...lamp, version: 1 })
      expect(world.logged).toEqual([])
    })
  })

  describe('failures', () => {
    const reads = ['/products/1', '/categories', '/categories/1/products']

    test('what can be tried again is a 503 with Retry-After, never to be stored', async () => {
      world.shop.failure = fail('LOCKSTEP_API_DATABASE_UNREACHABLE')
      for (const url of reads) {
        const response = await get(url)
        expectProblem(response, 503)
        expect(response.headers['retry-after']).toBe('1')
      }
      expectProblem(await put({ priceCents: 1 }), 503)
    })

    test('anything else is a 500 that tells nothing outside and is logged once', async () => {
      world.shop.failure = new Error('secret detail')
      const response = await get('/products/1')
      expectProblem(response, 500)
      expect(response.body).not.toContain('secret')
      expect(world.logged).toMatchObject([{ level: 'error', message: 'request failed' }])
    })

    test('what is in L1 is served while the database is away', async () => {
      await get('/products/1')
      world.shop.failure = new Error('away')
      expect((await get('/products/1')).statusCode).toBe(200)
    })

    test('a load beyond the admission limit is refused with 503 instead of queueing without end', async () => {
      const gate = Promise.withResolvers<void>()
      world.shop.gate = gate.promise
      const requests = Array.from({ length: 21 }, (_, index) => get(`/products/${100 + index}`))
      // The limit is 20 loads at once and a queue of one second.
      await world.pass(1_500)
      gate.resolve()
      const responses = await Promise.all(requests)
      expect(responses.filter(({ statusCode }) => statusCode === 404)).toHaveLength(20)
      const refused = responses.find(({ statusCode }) => statusCode === 503)
      expectProblem(refused as LightMyRequestResponse, 503)
      expect(world.logged).toEqual([])
    })
  })

  describe('tokens', () => {
    test('a writer with the token reads the write in another process, before any fence arrived', async () => {
      const other = await world.start()
      await get('/products/1', {}, other)
      const written = await put({ priceCents: 5 })
      expectNotStorable(written)
      const token = String(written.headers['lockstep-token'])
      // Without it the other process still serves what it has: nothing has told it.
      expect((await get('/products/1', {}, other)).json()).toMatchObject({ priceCents: 100 })
      const read = await get('/products/1', { 'lockstep-token': token }, other)
      expect(read.json()).toMatchObject({ priceCents: 5, version: 2 })
    })

    test.each(['POST', 'PUT', 'DELETE'] as const)('%s hands out a token', async (method) => {
      const url = method === 'POST' ? '/products' : `/products/${productId}`
      const response = await one.app.inject({ method, url, ...(method === 'DELETE' ? {} : { payload: lamp }) })
      expect(response.statusCode).toBeLessThan(300)
      expect(response.headers['lockstep-token']).toBe(signToken(world.pipeline.stamp, SECRET))
      expect(response.headers['set-cookie']).toBe(
        `lockstep-token=${response.headers['lockstep-token'] as string}; Path=/; Max-Age=60; HttpOnly; SameSite=Lax`,
      )
      expect(one.cache.newestStamp()).toBe(world.pipeline.stamp)
    })

    test('a forged token changes nothing: neither the answer nor what the process believes', async () => {
      await get('/products/1')
      const before = one.cache.newestStamp()
      const future = parseStamp('f'.repeat(28))
      for (const token of [signToken(future, 'another-secret-altogether'), future, '', 'x'.repeat(5_000)]) {
        const response = await get('/products/1', { 'lockstep-token': token })
        expect(response.headers['cache-status']).toBe('lockstep-l1; hit')
        expect(one.cache.newestStamp()).toBe(before)
      }
    })

    test('a process that has not found the bus writes, but vouches for nothing', async () => {
      const alone = new World()
      const process = await alone.start({ isAttached: false })
      const { row } = await alone.shop.create(lamp, null)
      const written = await process.app.inject({
        method: 'PUT',
        url: `/products/${row.id}`,
        payload: { name: 'Lantern' },
      })
      expect(written.statusCode).toBe(200)
      expect(written.headers).not.toHaveProperty('lockstep-token')
      const read = await process.app.inject(`/products/${row.id}`)
      expect(read.json()).toMatchObject({ name: 'Lantern' })
      expect(read.headers['cdn-cache-control']).toBe('max-age=1')
      await alone.stop()
    })
  })
})
