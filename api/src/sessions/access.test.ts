import { createCache } from '@lockstep/cache'
import { silentLogger } from '@lockstep/runtime'
import { parseClock } from '@lockstep/schemas'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createJwtSessions } from '../adapters/jwt-sessions.ts'
import { buildApp } from '../app.ts'
import { modulesOf } from '../compose-modules.ts'
import { defineEntries } from '../entries.ts'
import { Limiter } from '../limits/limiter.ts'
import { createMemoryLimits } from '../limits/memory-limits.ts'
import { createTestBreaker } from '../testing/test-breaker.ts'
import { primaryOnly } from '../replicas/read-source.ts'
import { MemoryShop } from '../testing/memory-shop.ts'
import { withAdmin } from './admin-account.ts'
import type { Account, Accounts } from './login-routes.ts'
import type { Access, Role } from './session.ts'

const PASSWORD = 'correct horse'
const TTL_MS = 60_000

function memoryAccounts(): Accounts {
  const accounts = new Map<string, Account>()
  return {
    find: (name) => Promise.resolve(accounts.get(name) ?? null),
    create: (name, passwordHash) => {
      if (accounts.has(name)) return Promise.resolve(false)
      accounts.set(name, { subject: name, role: 'customer', passwordHash })
      return Promise.resolve(true)
    },
  }
}

/** Five logins a minute for one account; addresses are not limited here. */
function perAccount(): Limiter {
  const time = { nowMs: () => 1_000_000 }
  const breaker = createTestBreaker(time)
  const policy = { name: 'login', kind: 'sliding-window', limit: 5, windowSeconds: 60, withoutRedis: 'refuse' } as const
  const memory = createMemoryLimits(time)
  return new Limiter({ policy, shared: memory, local: memory, breaker, time })
}

let app: FastifyInstance
let operations: { method: string; url: string; access: string }[]
const tokens: Partial<Record<Role, string>> = {}

async function serve(): Promise<FastifyInstance> {
  const cache = createCache({ redis: null })
  const shop = new MemoryShop(() => parseClock('0'.repeat(20)), [{ id: 1, name: 'Lamps' }])
  await cache.start()
  const tokens = { tokenSecret: 'a-secret-of-the-tests', edgeTtlSeconds: 60 }
  // Who may call a route is decided before it needs any of them.
  const nothing = {} as never
  const reads = { cache, source: primaryOnly(nothing), ttlMs: TTL_MS }
  const built = await buildApp({
    ...tokens,
    cache,
    shop,
    recent: shop,
    entries: defineEntries({ ...reads, source: primaryOnly(shop) }),
    modules: modulesOf({ ...tokens, cache, database: nothing, reads, log: nothing, model: nothing, degraded: nothing }),
    log: silentLogger,
    reboundMs: 1_000,
    trustProxy: false,
    maxEventLoopDelayMs: 0,
    maxEventLoopUtilization: 0,
    sessions: createJwtSessions({
      secret: 'a-secret-of-the-tests-of-32-bytes',
      namespace: 'shop',
      lifeSeconds: 3_600,
      now: () => new Date(),
    }),
    login: { accounts: withAdmin(memoryAccounts(), 'the admin knows'), perAccount: perAccount() },
  })
  built.addHook('onClose', () => cache.stop())
  return built
}

const post = (url: string, payload: object) => app.inject({ method: 'POST', url, payload })
const login = (name: string, password: string) => post('/login', { name, password })

interface Document {
  readonly paths: Record<string, Record<string, { 'x-lockstep-role'?: string }>>
}

beforeAll(async () => {
  app = await serve()
  await post('/accounts', { name: 'anna', password: PASSWORD })
  tokens.customer = (await login('anna', PASSWORD)).json<{ token: string }>().token
  tokens.admin = (await login('admin', 'the admin knows')).json<{ token: string }>().token
  const { paths } = (await app.inject('/openapi.json')).json<Document>()
  operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      method: method.toUpperCase(),
      url: path.replaceAll(/\{\w+\}/g, '1'),
      access: operation['x-lockstep-role'] ?? 'anyone',
    })),
  )
})
afterAll(() => app.close())

/** Who may call what: a route that is added needs a line here. */
const MATRIX: readonly (readonly [method: string, url: string, access: Access])[] = [
  ['GET', '/openapi.json', 'anyone'],
  ['POST', '/accounts', 'anyone'],
  ['POST', '/login', 'anyone'],
  ['GET', '/products/1', 'anyone'],
  ['POST', '/products', 'anyone'],
  ['PUT', '/products/1', 'anyone'],
  ['DELETE', '/products/1', 'anyone'],
  ['GET', '/categories', 'anyone'],
  ['GET', '/categories/1/products', 'anyone'],
  ['GET', '/products/1/reviews', 'anyone'],
  ['POST', '/products/1/reviews', 'anyone'],
  ['GET', '/products/1/prices', 'anyone'],
  ['PUT', '/products/1/prices/1', 'anyone'],
  ['GET', '/products/1/stock', 'anyone'],
  ['GET', '/products/1/views', 'anyone'],
  ['POST', '/products/1/views', 'anyone'],
  ['GET', '/search', 'anyone'],
  ['GET', '/bestsellers', 'anyone'],
  ['GET', '/category-counts', 'anyone'],
  ['GET', '/me/recent', 'customer'],
  ['GET', '/me/cart', 'customer'],
  ['PUT', '/me/cart/1', 'customer'],
  ['POST', '/orders', 'customer'],
  ['GET', '/orders/1', 'customer'],
  ['GET', '/debug/explain', 'admin'],
]

describe('api/sessions: who may call what', () => {
  test('the table names every route of the application', () => {
    const named = (rows: readonly (readonly [string, string, string])[]) => rows.map((row) => row.join(' ')).toSorted()
    expect(named(operations.map(({ method, url, access }) => [method, url, access]))).toEqual(named(MATRIX))
  })

  test.each(MATRIX)('%s %s is for %s', async (method, url, access) => {
    const statusFor = async (authorization?: string) => {
      const headers = authorization === undefined ? {} : { authorization }
      return (await app.inject({ method: method as InjectOptions['method'] & string, url, headers } as InjectOptions))
        .statusCode
    }
    expect((await statusFor()) === 401).toBe(access !== 'anyone')
    expect([401, 403].includes(await statusFor(`Bearer ${tokens.customer}`))).toBe((access as string) === 'admin')
    expect([401, 403]).not.toContain(await statusFor(`Bearer ${tokens.admin}`))
    for (const forged of [`Bearer ${tokens.admin}x`, 'Bearer x', 'Bearer', 'Basic YWRtaW46YWRtaW4=', `${tokens.admin}`])
      expect(await statusFor(forged)).toBe(401)
  })

  test('a route below /me/ or /debug/ that says nothing is closed', async () => {
    const other = await serve()
    const statusOf = async (url: string, role?: Role) => {
      const headers = role === undefined ? {} : { authorization: `Bearer ${tokens[role]}` }
      return (await other.inject({ url, headers })).statusCode
    }
    other.get('/me/anything', () => 'mine')
    other.get('/debug/anything', () => 'all')
    expect([await statusOf('/me/anything'), await statusOf('/me/anything', 'customer')]).toEqual([401, 200])
    expect([await statusOf('/debug/anything'), await statusOf('/debug/anything', 'customer')]).toEqual([401, 403])
    expect(await statusOf('/debug/anything', 'admin')).toBe(200)
    await other.close()
  })

  test('a refusal says how to come in, is a problem and is kept by nobody', async () => {
    const absent = await app.inject('/me/recent')
    expect(absent.headers['www-authenticate']).toBe('Bearer')
    const forged = await app.inject({ url: '/me/recent', headers: { authorization: 'Bearer x' } })
    expect(forged.headers['www-authenticate']).toBe('Bearer error="invalid_token"')
    for (const { headers } of [absent, forged]) {
      expect(headers['content-type']).toContain('application/problem+json')
      expect(headers['cache-control']).toContain('no-store')
    }
  })
})

describe('api/routes/explain', () => {
  const explain = async (url: string) => {
    const headers = { authorization: `Bearer ${tokens.admin}` }
    return app.inject({ url: `/debug/explain?url=${encodeURIComponent(url)}`, headers })
  }

  test('an answer is explained by its keys, tags, stamps and layers, and by nobody kept', async () => {
    const response = await explain('/categories/1/products?limit=7')
    expect(response.headers['cache-control']).toContain('no-store')
    expect(response.json()).toMatchObject({
      url: '/categories/1/products?limit=7',
      status: 200,
      headers: { 'cache-status': 'lockstep-l1; fwd=miss; stored' },
      reads: [{ key: 'products-of:1:7', layer: 'load', now: { l1: { isValid: true } } }],
    })
    expect((await explain('/categories')).json()).toMatchObject({ reads: [{ layer: 'l1' }] })
  })

  test('it asks as a visitor, and this service only', async () => {
    expect((await explain('/me/recent')).json()).toMatchObject({ status: 401, reads: [] })
    for (const url of ['//evil.test/', 'http://evil.test/', '/\\evil.test', '']) {
      expect((await explain(url)).statusCode).toBe(400)
    }
  })
})

describe('api/sessions: logging in', () => {
  beforeEach(async () => {
    await app.close()
    app = await serve()
    await post('/accounts', { name: 'anna', password: PASSWORD })
  })

  test('with name and password one gets a session that nobody may keep', async () => {
    const response = await login('anna', PASSWORD)
    expect(response.json()).toMatchObject({ tokenType: 'Bearer', expiresInSeconds: 3_600 })
    expect(response.headers['cache-control']).toBe('no-store')
    const { token } = response.json<{ token: string }>()
    const mine = await app.inject({ url: '/me/recent', headers: { authorization: `Bearer ${token}` } })
    expect(mine.headers['cache-control']).toBe('private, no-store')
    expect(mine.json()).toEqual({ items: [] })
  })

  test('a wrong password and an unknown name are answered alike', async () => {
    const [wrong, unknown] = [await login('anna', 'wrong password'), await login('berta', PASSWORD)]
    expect(wrong.statusCode).toBe(401)
    const told = (body: string): object => ({ ...(JSON.parse(body) as object), requestId: null })
    expect(told(unknown.body)).toEqual(told(wrong.body))
  })

  test('a name is given once, and admin to nobody', async () => {
    expect((await post('/accounts', { name: 'anna', password: 'another one' })).statusCode).toBe(409)
    expect((await post('/accounts', { name: 'admin', password: 'another one' })).statusCode).toBe(409)
    expect((await login('anna', PASSWORD)).statusCode).toBe(200)
    expect((await login('admin', 'another one')).statusCode).toBe(401)
  })

  test('guesses for one account are limited, the right one among them', async () => {
    for (let guess = 0; guess < 5; guess++) expect((await login('anna', `wrong guess ${guess}`)).statusCode).toBe(401)
    const response = await login('anna', PASSWORD)
    expect(response.statusCode).toBe(429)
    expect(Number(response.headers['retry-after'])).toBeGreaterThan(0)
    expect((await login('berta', PASSWORD)).statusCode).toBe(401)
  })
})
