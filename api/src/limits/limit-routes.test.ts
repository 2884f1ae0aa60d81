import { silentLogger } from '@lockstep/runtime'
import Fastify, { type FastifyInstance } from 'fastify'
import { describe, expect, test } from 'vitest'
import { handleProblems } from '../problem.ts'
import { createTestBreaker } from '../testing/test-breaker.ts'
import { limitRoutes } from './limit-routes.ts'
import { Limiter } from './limiter.ts'
import { createMemoryLimits } from './memory-limits.ts'
import type { LimitName, LimitPolicy } from './policy.ts'

const time = { nowMs: () => 1_000_000 }

function policy(name: LimitName, limit: number): LimitPolicy {
  const kind = name === 'login' ? 'sliding-window' : 'token-bucket'
  return { name, kind, limit, windowSeconds: 60, withoutRedis: name === 'login' ? 'refuse' : 'admit' }
}

/** An application whose reads are limited to 3, writes to 2 and logins to 1; its handlers are counted. */
function serve({ isStoreAway = false } = {}) {
  const memory = createMemoryLimits(time)
  const shared = isStoreAway ? { take: () => Promise.reject(new Error('away')) } : memory
  const breaker = createTestBreaker(time)
  const limiter = (of: LimitPolicy) => new Limiter({ policy: of, shared, local: memory, breaker, time })
  const refused: object[] = []
  const app: FastifyInstance = Fastify()
  handleProblems(app, silentLogger)
  limitRoutes(app, {
    limiters: {
      read: limiter(policy('read', 3)),
      write: limiter(policy('write', 2)),
      login: limiter(policy('login', 1)),
    },
    refused: { inc: (labels = {}) => void refused.push(labels) },
  })
  let handled = 0
  const handler = () => ({ handled: ++handled })
  app.get('/things', handler)
  app.post('/things', handler)
  app.post('/login', { config: { limit: 'login' } }, handler)
  app.get('/admin', { config: { limit: 'admin' } }, handler)
  const ask = (method: 'GET' | 'HEAD' | 'POST', url: string, headers = {}, remoteAddress = '192.0.2.1') =>
    app.inject({ method, url, headers, remoteAddress })
  return { ask, refused, handled: () => handled }
}

describe('api/limits/limit-routes', () => {
  test('what is too much is a 429 that says when to come again, is kept by nobody and reaches no handler', async () => {
    const { ask, refused, handled } = serve()
    for (let round = 0; round < 3; round++) expect((await ask('GET', '/things')).statusCode).toBe(200)
    const response = await ask('GET', '/things')
    expect(response.statusCode).toBe(429)
    expect(response.headers).toMatchObject({
      'retry-after': '20',
      'ratelimit-policy': '"read";q=3;w=60',
      ratelimit: '"read";r=0;t=20',
      'cache-control': 'no-store',
      'content-type': expect.stringContaining('application/problem+json') as string,
    })
    expect(response.json()).toMatchObject({ status: 429, title: 'Too Many Requests' })
    expect(handled()).toBe(3)
    expect(refused).toEqual([{ policy: 'read', reason: 'limited' }])
  })

  test('HEAD counts as GET does; writes and logins have limits of their own, and so has every address', async () => {
    const { ask } = serve()
    for (const method of ['GET', 'HEAD', 'GET'] as const) expect((await ask(method, '/things')).statusCode).toBe(200)
    expect((await ask('HEAD', '/things')).statusCode).toBe(429)
    expect((await ask('POST', '/things')).statusCode).toBe(200)
    expect((await ask('POST', '/login')).statusCode).toBe(200)
    expect((await ask('POST', '/login')).statusCode).toBe(429)
    expect((await ask('GET', '/things', {}, '192.0.2.2')).statusCode).toBe(200)
  })

  test('what is left to one client is told on no answer that a shared cache may keep', async () => {
    const { ask } = serve()
    const shared = await ask('GET', '/things')
    expect(shared.headers['ratelimit-policy']).toBe('"read";q=3;w=60')
    expect(shared.headers).not.toHaveProperty('ratelimit')
    expect((await ask('GET', '/things', { cookie: 'a=b' })).headers['ratelimit']).toBe('"read";r=1;t=40')
    expect((await ask('POST', '/things')).headers['ratelimit']).toBe('"write";r=1;t=30')
  })

  test('a forwarded address of a client that is no known proxy changes nothing', async () => {
    const { ask } = serve()
    for (let round = 0; round < 3; round++) await ask('GET', '/things', { 'x-forwarded-for': `198.51.100.${round}` })
    expect((await ask('GET', '/things', { 'x-forwarded-for': '198.51.100.9' })).statusCode).toBe(429)
  })

  test('while nobody can count, reads go on and logins are a 503 with Retry-After', async () => {
    const { ask, refused } = serve({ isStoreAway: true })
    expect((await ask('GET', '/things')).statusCode).toBe(200)
    const login = await ask('POST', '/login')
    expect(login.statusCode).toBe(503)
    expect(login.headers).toMatchObject({ 'retry-after': '1', 'cache-control': 'no-store' })
    expect(refused).toEqual([{ policy: 'login', reason: 'unavailable' }])
  })

  test('a policy that nobody set limits nobody', async () => {
    const { ask } = serve()
    for (let round = 0; round < 9; round++) expect((await ask('GET', '/admin')).statusCode).toBe(200)
  })
})
