import type { InjectOptions } from 'fastify'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fail } from './errors.ts'
import { requestIds } from './request-identity.ts'
import { World, type Process } from './testing/world.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const TRACEPARENT = `00-${TRACE}-00f067aa0ba902b7-01`

describe('api/request-identity', () => {
  let world: World
  let one: Process
  beforeEach(async () => {
    world = new World()
    one = await world.start()
    await world.shop.create({ name: 'Lamp', priceCents: 100, categoryId: 1 }, null)
  })
  afterEach(() => world.stop())

  const requests: InjectOptions[] = [
    { url: '/products/1' },
    { url: '/products/1', headers: { 'if-none-match': '*' } },
    { url: '/products/404' },
    { url: '/categories', method: 'HEAD' },
    { url: '/products/x' },
    { url: '/nothing' },
    { url: '/%' },
    { url: '/categories', method: 'DELETE' },
    { url: '/me/cart' },
    { url: '/products/1', method: 'PUT', payload: { priceCents: 1 } },
  ]

  test.each(requests)('every answer says which request it is for: %j', async (request) => {
    const named = await one.app.inject({ ...request, headers: { ...request.headers, 'x-request-id': 'a.B-c_d~1' } })
    expect(named.headers['x-request-id']).toBe('a.B-c_d~1')
    const ids = [await one.app.inject(request), await one.app.inject(request)].map(
      ({ headers }) => headers['x-request-id'],
    )
    expect(ids).toEqual([expect.stringMatching(/^[0-9a-f]{12}-[0-9a-z]+$/), expect.anything()])
    expect(ids[0]).not.toBe(ids[1])
  })

  test.each(['', ' ', 'a b', 'a,b', 'ä', '<script>', 'a"', 'x'.repeat(129), '$(id)'])(
    'a name that is not well formed is replaced: %j',
    async (name) => {
      const { headers } = await one.app.inject({ url: '/products/1', headers: { 'x-request-id': name } })
      expect(headers['x-request-id']).toMatch(/^[0-9a-f]{12}-[0-9a-z]+$/)
    },
  )

  test('two processes never give the same name', () => {
    const names = [requestIds(), requestIds()].flatMap((next) => [next({ headers: {} }), next({ headers: {} })])
    expect(new Set(names).size).toBe(4)
  })

  test('a problem that nobody keeps names its request, an answer that caches may keep does not', async () => {
    const headers = { 'x-request-id': 'mine' }
    for (const url of ['/nothing', '/products/x', '/me/cart', '/debug/explain?url=/']) {
      const answer = await one.app.inject({ url, headers })
      expect(answer.json()).toMatchObject({ requestId: 'mine' })
      expect(answer.headers['cache-control']).toContain('no-store')
    }
    const missing = await one.app.inject({ url: '/products/404', headers })
    expect(missing.headers['cdn-cache-control']).toBeDefined()
    expect(missing.body).not.toContain('mine')
  })

  test.each([
    ['warn', 503, fail('LOCKSTEP_API_DATABASE_UNREACHABLE')],
    ['error', 500, new Error('broken')],
  ])('what is logged at %s of a request names it and its trace', async (level, status, failure) => {
    world.shop.failure = failure
    const ask = (headers: Record<string, string>) => one.app.inject({ url: '/products/1', headers })
    const answer = await ask({ 'x-request-id': 'mine', traceparent: TRACEPARENT })
    expect(answer.json()).toMatchObject({ status, requestId: 'mine' })
    await ask({ traceparent: 'garbage' })
    const [first, second] = world.logged
    expect(first).toMatchObject({ level, fields: { requestId: 'mine', trace_id: TRACE } })
    expect(second).toMatchObject({ level, fields: { trace_id: expect.stringMatching(/^[0-9a-f]{32}$/) as unknown } })
    expect(JSON.stringify(second)).not.toContain(TRACE)
  })
})
