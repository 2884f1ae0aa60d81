import { waitFor } from '@lockstep/runtime/testing'
import { encodeSurrogateKey, type Tag } from '@lockstep/schemas'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import type { RunningApi } from './compose.ts'
import { DEADLINE_MS, Scene } from './testing/scene.ts'

let scene: Scene
let one: RunningApi
let two: RunningApi

beforeEach(async () => {
  scene = await Scene.open(inject('postgresUrl'))
  one = await scene.start()
  two = await scene.start()
})
afterEach(() => scene.close())

async function ask(api: RunningApi, path: string, init: RequestInit = {}) {
  const { headers, ...rest } = init
  const response = await fetch(api.url + path, {
    ...rest,
    headers: { ...(init.body ? { 'content-type': 'application/json' } : {}), ...(headers as object) },
  })
  return { response, status: response.status, body: (await response.json()) as Record<string, unknown> }
}
const send = (api: RunningApi, request: string, body: object, headers: Record<string, string> = {}) => {
  const [method = '', path = ''] = request.split(' ')
  return ask(api, path, { method, body: JSON.stringify(body), headers })
}
const review = { author: 'Anna', rating: 1, body: 'Broke at once' }

describe('api/patterns on Postgres and Redis', () => {
  test('write-path invalidation: the writer sees the new average at once, another process by header or cookie', async () => {
    for (const api of [one, two]) expect((await ask(api, '/products/3/reviews')).body).toMatchObject({ count: 0 })
    const written = await send(one, 'POST /products/3/reviews', review)
    expect(written.status).toBe(201)
    // Nothing was delivered by the log so far.
    expect((await ask(one, '/products/3/reviews')).body).toMatchObject({ count: 1, average: 1 })
    expect((await ask(two, '/products/3/reviews')).body).toMatchObject({ count: 0 })
    const cookie = written.response.headers.get('set-cookie')?.split(';')[0] ?? ''
    const byCookie = await ask(two, '/products/3/reviews', { headers: { cookie } })
    expect(byCookie.body).toMatchObject({ count: 1, average: 1 })
    expect(byCookie.response.headers.get('cache-control')).toBe('private, no-store')
    const token = written.response.headers.get('lockstep-token') ?? ''
    const byHeader = await ask(two, '/products/3/reviews', { headers: { 'lockstep-token': token } })
    expect(byHeader.body).toMatchObject({ count: 1 })
  })

  test('write-through: the new price is in Redis when the writer is answered, so nobody loads it', async () => {
    await ask(two, '/products/1/prices')
    const written = await send(one, 'PUT /products/1/prices/USD', { priceCents: 5 })
    expect(written.body).toEqual({ items: [{ currency: 'USD', priceCents: 5 }] })
    const { loads } = two.status().cache
    const token = written.response.headers.get('lockstep-token') ?? ''
    const read = await ask(two, '/products/1/prices', { headers: { 'lockstep-token': token } })
    expect(read.body).toEqual(written.body)
    expect(read.response.headers.get('cache-status')).toContain('lockstep-l2; hit')
    expect(two.status().cache.loads).toBe(loads)
  })

  test('a missing product is a tagged 404 everywhere, and its INSERT ends it', async () => {
    const paths = ['', '/reviews', '/prices', '/stock'].map((rest) => `/products/11${rest}`)
    for (const path of paths) {
      const { status, response } = await ask(one, path)
      expect([path, status]).toEqual([path, 404])
      const keys = response.headers.get('surrogate-key')?.split(' ')
      expect(keys).toContain(encodeSurrogateKey('product:11' as Tag))
    }
    await send(two, 'POST /products', { name: 'New', priceCents: 1, categoryId: 1 })
    await scene.deliver('insert', {}, { id: '11', category_id: '1', name: 'New' })
    for (const path of paths) await waitFor(async () => (await ask(one, path)).status === 200, DEADLINE_MS)
  })

  test('a page of hits follows names and prices of what it names, and an empty one is kept until a name appears', async () => {
    const hits = async (q: string) => ((await ask(one, `/search?q=${q}`)).body.items as { name: string }[]).length
    expect(await hits('product')).toBe(10)
    expect(await hits('PRODUCT%201')).toBe(2)
    for (const odd of ['%25', '*', '_', '%5C', 'x:*', '\u{1f98a}'.repeat(25), '\u4e2d'.repeat(50)])
      expect(await hits(odd)).toBe(0)
    expect(await hits('lantern')).toBe(0)
    await send(two, 'PUT /products/1', { name: 'Lantern' })
    expect(await hits('lantern')).toBe(0)
    const before = { id: '1', category_id: '2', name: 'Product 1' }
    await scene.deliver('update', before, { ...before, name: 'Lantern' })
    await waitFor(async () => (await hits('lantern')) === 1, DEADLINE_MS)
    expect(await hits('product')).toBe(9)
  })

  test('a cart is its customer’s alone, is never stored, and is read past every cache', async () => {
    expect((await ask(one, '/me/cart')).status).toBe(401)
    const anna = { authorization: 'Bearer anna' }
    await send(one, 'PUT /me/cart/2', { quantity: 3 }, anna)
    const mine = await ask(two, '/me/cart', { headers: anna })
    expect(mine.body).toEqual({ items: [{ productId: 2, quantity: 3 }] })
    expect(mine.response.headers.get('cache-control')).toBe('private, no-store')
    expect(mine.response.headers.has('surrogate-key')).toBe(false)
    expect((await ask(two, '/me/cart', { headers: { authorization: 'Bearer berta' } })).body).toEqual({ items: [] })
    expect((await send(one, 'PUT /me/cart/2', { quantity: 0 }, anna)).body).toEqual({ items: [] })
    expect((await send(one, 'PUT /me/cart/99', { quantity: 1 }, anna)).status).toBe(404)
  })
})
