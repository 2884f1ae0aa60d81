import { edgeVcl } from '@lockstep/cdn-purger'
import { startVarnish, type VarnishServer } from '@lockstep/servers'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import {
  AMBIGUOUS,
  ask as askAt,
  attack,
  EVIL,
  flush,
  KEPT_BACK,
  probe,
  PROBES,
  shown,
  startCarelessOrigin,
  TOKEN,
  type Reply,
  type Request,
} from './edge-probes.ts'
import { openShopScene, type ShopScene } from './shop-scene.ts'

let scene: ShopScene
let edge: VarnishServer
let anna = ''
let berta = ''

const startEdge = (port: number, change: (vcl: string) => string = (vcl) => vcl): Promise<VarnishServer> => {
  const vcl = change(edgeVcl({ backendHost: '127.0.0.1', backendPort: port }))
  return startVarnish({ vcl, needs: 'process', env: { LOCKSTEP_PURGE_TOKEN: TOKEN } })
}

beforeAll(async () => {
  scene = await openShopScene()
  anna = await scene.login('anna')
  berta = await scene.login('berta')
  edge = await startEdge(Number(new URL(scene.api.url).port))
})
afterAll(async () => {
  await edge?.stop()
  await scene?.close()
})

const ask = (path: string, request: Request = {}): Promise<Reply> => askAt(edge.url + path, request)

// Each attack has a product of its own, that nobody has asked for.
let product = 0
const nextProduct = (): number => 1 + (product++ % 20)

describe('itest/api: poisoning the edge', () => {
  test.each(Object.keys(PROBES))('a request with %s changes what nobody else sees', async (name) => {
    const { after, fresh } = await probe(edge.url, `/products/${nextProduct()}`, name)
    expect(shown(after)).toEqual(shown(fresh))
    expect(after.status).toBe(200)
    expect(JSON.stringify(after)).not.toContain(EVIL)
  })

  test('no answer names the request of somebody else, wherever it comes from', async () => {
    const path = `/products/${nextProduct()}`
    const named = (name: string) => ask(path, { headers: { 'x-request-id': name } })
    const replies = [await named('one'), await named('two'), await ask(path), await ask('/products/x')]
    const [, , unnamed, problem] = replies.map(({ headers }) => String(headers['x-request-id']))
    expect(replies.map(({ headers }) => headers['x-cache'])).toEqual(['MISS', 'HIT', 'HIT', 'PASS'])
    expect(replies.slice(0, 2).map(({ headers }) => headers['x-request-id'])).toEqual(['one', 'two'])
    expect(unnamed).toMatch(/^lockstep-edge\.[\d.]+$/)
    expect(JSON.parse(replies[3]?.body ?? '')).toMatchObject({ status: 400, requestId: problem })
  })

  test('only who has the token purges', async () => {
    const path = `/products/${nextProduct()}`
    await ask(path)
    for (const method of ['PURGEALL', 'PURGEKEYS', 'SOFTPURGEKEYS']) {
      for (const token of ['', EVIL]) {
        const headers = { 'x-purge-token': token, 'x-purge-keys': '*' }
        expect((await ask(path, { method, headers })).status).toBe(401)
      }
    }
    expect((await ask(path)).headers['x-cache']).toBe('HIT')
    await flush(edge.url)
    expect((await ask(path)).headers['x-cache']).toBe('MISS')
  })
})

describe('itest/api: probes of the edge before an origin that shows whatever a request says', () => {
  const noticedAt = async (change?: (vcl: string) => string): Promise<string[]> => {
    const origin = await startCarelessOrigin()
    onTestFinished(() => origin.stop())
    const careless = await startEdge(origin.port, change)
    onTestFinished(() => careless.stop())
    const noticed: string[] = []
    for (const [index, name] of Object.keys(PROBES).entries()) {
      const { after, fresh } = await probe(careless.url, `/products/${index}`, name)
      if (JSON.stringify(shown(after)) !== JSON.stringify(shown(fresh))) noticed.push(name)
    }
    return noticed
  }

  test('every probe that reaches the origin is noticed', async () => {
    expect(await noticedAt()).toEqual(Object.keys(PROBES).filter((name) => !KEPT_BACK.includes(name)))
  })

  test('every probe is noticed where the edge hands on all that it keeps back', async () => {
    expect(await noticedAt(withoutGuards)).toEqual(Object.keys(PROBES))
  })

  test.each(Object.entries(AMBIGUOUS))(
    '%s: a careless server is fooled, and the edge hands nothing on',
    async (_what, bytes) => {
      const origin = await startCarelessOrigin()
      onTestFinished(() => origin.stop())
      const careless = await startEdge(origin.port)
      onTestFinished(() => careless.stop())
      await attack(origin.url, bytes(origin.url))
      expect(origin.received.join()).toContain(EVIL)
      origin.received.length = 0
      await attack(careless.url, bytes(careless.url))
      expect(origin.received.join()).not.toContain(EVIL)
    },
  )
})

describe('itest/api: private answers', () => {
  // What a visitor without credentials gets.
  const OPEN: Readonly<Record<string, number>> = {
    '/products/1': 200,
    '/products/404': 404,
    '/categories': 200,
    '/categories/1/products': 200,
    '/categories/1/products?limit=3': 200,
    '/products/1/reviews': 200,
    '/products/1/stock': 200,
    '/search?q=prod': 200,
    '/bestsellers': 200,
    '/me/recent': 401,
    '/me/cart': 401,
    '/orders/00000000-0000-4000-8000-000000000000': 401,
    '/debug/explain?url=/products/1': 401,
  }

  test.each(Object.keys(OPEN))('an answer for one customer at %s enters no shared layer', async (path) => {
    await ask('/products/3', {
      method: 'PUT',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${anna}` },
      body: '{"priceCents":123}',
    })
    const identities = [
      { authorization: `Bearer ${anna}` },
      { cookie: `session=${anna}` },
      { authorization: `Bearer ${berta}` },
    ]
    const askAs = async (headers: Readonly<Record<string, string>>): Promise<void> => {
      const mine = await ask(path, { headers })
      expect(mine.headers['x-cache']).toBe('PASS')
      expect(mine.headers['cache-control']).toMatch(/no-store/)
      expect(mine.headers['age'] ?? '0').toBe('0')
      expect(mine.headers).not.toHaveProperty('surrogate-key')
      expect(mine.headers).not.toHaveProperty('cdn-cache-control')
    }
    for (const headers of [...identities, ...identities]) await askAs(headers)
    const first = await ask(path)
    // Nobody has asked without credentials before, so a hit would be somebody's.
    expect(first.headers['x-cache']).not.toBe('HIT')
    for (const reply of [first, await ask(path)]) {
      expect(reply.headers).not.toHaveProperty('ratelimit')
      for (const secret of [anna, berta]) expect(JSON.stringify(reply)).not.toContain(secret)
    }
    // What everybody may see is stored now, and still no customer is answered from there.
    for (const headers of identities) await askAs(headers)
    expect(first.status).toBe(OPEN[path])
  })

  test('what one customer changed is told to nobody else', async () => {
    const recent = async (token: string) =>
      (await ask('/me/recent', { headers: { authorization: `Bearer ${token}` } })).body
    expect(await recent(anna)).toContain('"priceCents":123')
    expect(JSON.parse(await recent(berta))).toEqual({ items: [] })
  })
})

/** The edge without what keeps a visitor's request from others, with one page for all addresses that one could take for another. */
function withoutGuards(vcl: string): string {
  // Varnish itself hands none of these on.
  const fields = ['Range', 'If-None-Match', 'If-Modified-Since', 'Accept-Encoding', 'Cache-Control']
  const lines = (line: (field: string) => string): string => fields.map(line).join('\n')
  const keep = `set req.http.n-method = req.method; ${lines((field) => `set req.http.n-${field} = req.http.${field};`)}`
  const cuts: readonly (readonly [from: string, to: string])[] = [
    ['if (req.http.Authorization || req.http.Cookie || req.http.Lockstep-Token) { return (pass); }', ''],
    ['unset req.http.xkey;', ''],
    ['unset req.http.X-Purge-Token;', ''],
    ['unset req.http.X-Purge-Keys;', ''],
    ['if (req.method !~ "^(GET|HEAD|PUT|POST|PATCH|DELETE|OPTIONS|TRACE)$") { return (pass); }', ''],
    ['if (req.method != "GET" && req.method != "HEAD") { return (pass); }', keep],
    // What another method has stored would be purged as soon as it is delivered.
    ['resp.status >= 200 && resp.status < 400', 'false'],
  ]
  let open = vcl
  for (const [from, to] of cuts) {
    expect(open).toContain(from)
    open = open.replace(from, to)
  }
  return `${open}
    sub vcl_hash {
      hash_data(regsuball(regsub(regsub(regsub(req.url, "[?;#].*", ""), "/[^/]+/[.][.]/", "/"), "(?i)%2f", "/"), "//", "/"));
      return (lookup);
    }
    sub vcl_backend_fetch {
      set bereq.method = bereq.http.n-method;
      unset bereq.http.n-method;
      ${lines((field) => `set bereq.http.${field} = bereq.http.n-${field}; unset bereq.http.n-${field};`)}
    }
  `
}
