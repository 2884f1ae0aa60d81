import { connect } from 'node:net'
import { once } from 'node:events'
import { request as send, type IncomingHttpHeaders } from 'node:http'
import { text } from 'node:stream/consumers'
import { edgeVcl } from '@lockstep/cdn-purger'
import { startVarnish, type VarnishServer } from '@lockstep/servers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openShopScene, type ShopScene } from './shop-scene.ts'

const EVIL = 'evil.test'
const TOKEN = 'the-edge-knows'
const ANSWER_MS = 3_000

let scene: ShopScene
let edge: VarnishServer
let anna = ''
let berta = ''

beforeAll(async () => {
  scene = await openShopScene()
  anna = await scene.login('anna')
  berta = await scene.login('berta')
  const { port } = new URL(scene.api.url)
  const vcl = edgeVcl({ backendHost: '127.0.0.1', backendPort: Number(port) })
  edge = await startVarnish({ vcl, needs: 'process', env: { LOCKSTEP_PURGE_TOKEN: TOKEN } })
})
afterAll(async () => {
  await edge?.stop()
  await scene?.close()
})

interface Request {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

function ask(path: string, { method = 'GET', headers = {}, body }: Request = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const request = send(edge.url + path, { method, headers, agent: false }, (response) => {
      text(response).then(
        (received) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: received }),
        reject,
      )
    })
    request.once('error', reject)
    request.end(body)
  })
}

/** Sends bytes as they are; what comes back is not looked at. */
async function attack(bytes: string): Promise<void> {
  const socket = connect(edge.port, '127.0.0.1')
  socket.once('error', () => undefined)
  socket.resume()
  socket.end(bytes)
  await Promise.race([once(socket, 'close'), new Promise((resolve) => setTimeout(resolve, ANSWER_MS).unref())])
  socket.destroy()
}

/** What every visitor of a page has to see, whoever asked before. */
const shown = ({ status, headers, body }: Reply) => ({
  status,
  body,
  type: headers['content-type'],
  control: headers['cache-control'],
  location: headers.location,
  cookie: headers['set-cookie'],
})

// Each attack has a product of its own, that nobody has asked for.
let product = 0
const nextProduct = (): number => 1 + (product++ % 20)
const flush = (): Promise<Reply> => ask('/', { method: 'PURGEALL', headers: { 'x-purge-token': TOKEN } })

describe('itest/api: poisoning the edge', () => {
  const fields: Readonly<Record<string, string>> = {
    'x-forwarded-host': EVIL,
    'x-forwarded-proto': 'http',
    'x-forwarded-port': '1',
    'x-forwarded-for': EVIL,
    'x-forwarded-scheme': 'nothttps',
    'x-host': EVIL,
    'x-original-url': '/categories',
    'x-rewrite-url': '/categories',
    'x-http-method-override': 'DELETE',
    'x-method-override': 'PUT',
    forwarded: `host=${EVIL};proto=http`,
    origin: `https://${EVIL}`,
    referer: `https://${EVIL}/`,
    accept: `text/${EVIL}`,
    'accept-language': EVIL,
    'accept-encoding': EVIL,
    'content-type': `text/${EVIL}`,
    range: 'bytes=0-0',
    'if-none-match': '*',
    'if-modified-since': 'Sat, 21 Nov 2026 12:00:00 GMT',
    'cache-control': 'no-store, max-age=0',
    'lockstep-token': EVIL,
    'lockstep-stamp': EVIL,
    'surrogate-key': EVIL,
    'x-purge-keys': '*',
    'x-purge-token': EVIL,
    xkey: '*',
    cookie: `session=${EVIL}`,
    traceparent: '00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-01',
    'x-request-id': EVIL,
    'x-oversize': EVIL.repeat(3_000),
    authorization: `Bearer ${EVIL}`,
  }

  test.each(Object.entries(fields))('a request with %s changes what nobody else sees', async (name, value) => {
    const path = `/products/${nextProduct()}`
    await ask(path, { headers: { [name]: value } }).catch(() => undefined)
    const afterwards = await ask(path)
    expect((await flush()).status).toBe(200)
    expect(shown(afterwards)).toEqual(shown(await ask(path)))
    expect(afterwards.status).toBe(200)
    expect(JSON.stringify(afterwards)).not.toContain(EVIL)
  })

  const requests: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
    'another host': (path) => ask(path, { headers: { host: EVIL } }),
    'a body with a GET': (path) =>
      ask(path, { headers: { 'content-type': 'application/json' }, body: '{"name":"evil.test"}' }),
    'a HEAD': (path) => ask(path, { method: 'HEAD' }),
    'an unknown method': (path) => ask(path, { method: 'FROBNICATE' }),
    'a purge without a token': (path) => ask(path, { method: 'PURGEALL' }),
    'an unknown parameter': (path) => ask(`${path}?callback=${EVIL}`),
    'a parameter behind a semicolon': (path) => ask(`${path};${EVIL}`),
    'a second slash': (path) => ask(`/${path}`),
    'a way round': (path) => ask(`/categories/..${path}`),
    'an escaped slash': (path) => ask(path.replace('/products/', '/products%2f')),
    'a fragment': (path) =>
      attack(`GET ${path}#${EVIL} HTTP/1.1\r\nHost: 127.0.0.1:${edge.port}\r\nConnection: close\r\n\r\n`),
    'two hosts': (path) =>
      attack(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${edge.port}\r\nHost: ${EVIL}\r\nConnection: close\r\n\r\n`),
    'an absolute address of another host': (path) =>
      attack(`GET http://${EVIL}${path} HTTP/1.1\r\nHost: 127.0.0.1:${edge.port}\r\nConnection: close\r\n\r\n`),
    'two lengths': (path) =>
      attack(
        `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${edge.port}\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\nGET /categories HTTP/1.1\r\nHost: ${EVIL}\r\n\r\n`,
      ),
    'a length and chunks': (path) =>
      attack(
        `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1:${edge.port}\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${edge.port}\r\nX: ${EVIL}\r\n\r\n`,
      ),
    'a blank before the colon': (path) =>
      attack(`GET ${path} HTTP/1.1\r\nHost : ${EVIL}\r\nHost: 127.0.0.1:${edge.port}\r\n\r\n`),
    'a folded line': (path) =>
      attack(
        `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${edge.port}\r\nX-A: a\r\n X-Forwarded-Host: ${EVIL}\r\nConnection: close\r\n\r\n`,
      ),
  }

  test.each(Object.entries(requests))('%s changes what nobody else sees', async (_what, hostile) => {
    const path = `/products/${nextProduct()}`
    await hostile(path).catch(() => undefined)
    const afterwards = await ask(path)
    expect((await flush()).status).toBe(200)
    expect(shown(afterwards)).toEqual(shown(await ask(path)))
    expect(afterwards.status).toBe(200)
    expect(JSON.stringify(afterwards)).not.toContain(EVIL)
  })
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
