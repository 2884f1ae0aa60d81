import type { FastifyInstance, InjectOptions } from 'fastify'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { World } from './testing/world.ts'

describe('api/unknown-routes', () => {
  let world: World
  let app: FastifyInstance
  beforeEach(async () => {
    world = new World()
    ;({ app } = await world.start())
  })
  afterEach(() => world.stop())

  const ask = async (method: InjectOptions['method'] | 'TRACE', url: string, more: InjectOptions = {}) => {
    const { statusCode, headers } = await app.inject({ ...more, method: method as 'GET', url })
    return {
      status: statusCode,
      allow: headers.allow,
      type: headers['content-type'],
      control: headers['cache-control'],
    }
  }
  const problem = { type: 'application/problem+json; charset=utf-8', control: 'no-store' }

  test.for([
    ['DELETE', '/categories', 'GET, HEAD'],
    ['TRACE', '/products/1', 'DELETE, GET, HEAD, PUT'],
    ['OPTIONS', '/categories/7/products?limit=1', 'GET, HEAD'],
    ['GET', '/products', 'POST'],
    ['HEAD', '/products', 'POST'],
  ] as const)('%s %s is refused with the methods that would do: %s', async ([method, url, allow]) => {
    expect(await ask(method, url)).toEqual({ status: 405, allow, ...problem })
  })

  test.for(['/nothing', '/products/1/2', '/xcategories', '/openapi-json', '/products/1%'])(
    'nothing is at %s, by whatever method',
    async (url) => {
      for (const method of ['GET', 'DELETE'] as const) {
        const { status, allow, control } = await ask(method, url)
        expect([status, allow, control]).toEqual([url.includes('%') ? 400 : 404, undefined, 'no-store'])
      }
    },
  )

  test('a body that nobody can read changes nothing about that', async () => {
    const body = { headers: { 'content-type': 'text/strange' }, payload: '{' }
    expect(await ask('POST', '/categories', body)).toEqual({ status: 405, allow: 'GET, HEAD', ...problem })
    expect((await ask('POST', '/nothing', body)).status).toBe(404)
  })

  test('such an answer has what every answer has', async () => {
    const { headers } = await app.inject({ method: 'PUT', url: '/categories' })
    expect(headers['cache-status']).toBe('lockstep-l1; fwd=method')
  })
})
