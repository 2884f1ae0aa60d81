import { Agent, get as httpGet } from 'node:http'
import { waitFor } from '@lockstep/runtime/testing'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import type { RunningApi } from './compose.ts'
import { DEADLINE_MS, Scene } from './testing/scene.ts'

let scene: Scene
let one: RunningApi

beforeEach(async () => {
  scene = await Scene.open(inject('postgresUrl'))
  one = await scene.start()
})
afterEach(() => scene.close())

const read = async (api: RunningApi, path: string, headers: Record<string, string> = {}) => {
  const response = await fetch(api.url + path, { headers })
  return { response, body: (await response.json()) as Record<string, unknown> & { items: { id: number }[] } }
}
/** Row 1 as the log tells it, under a name that stays. */
const lamp = { id: '1', category_id: '1', name: 'Product 1' }

const change = (api: RunningApi, id: number, body: object, method = 'PUT') =>
  fetch(`${api.url}/products/${id}`, {
    method,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
const layer = ({ response }: Awaited<ReturnType<typeof read>>) => response.headers.get('cache-status')
const idsOf = async (api: RunningApi, category: number) =>
  (await read(api, `/categories/${category}/products`)).body.items.map(({ id }) => id)

describe('api on Postgres and Redis', () => {
  test('a value is loaded once for all processes, then answered from Redis, then from L1', async () => {
    const two = await scene.start()
    const first = await read(one, '/products/1')
    expect(layer(first)).toBe('lockstep-l1; fwd=miss; stored')
    expect(layer(await read(one, '/products/1'))).toBe('lockstep-l1; hit')
    const second = await read(two, '/products/1')
    expect(layer(second)).toBe('lockstep-l1; fwd=miss, lockstep-l2; hit')
    expect(layer(await read(two, '/products/1'))).toBe('lockstep-l1; hit')
    expect(second.body).toEqual(first.body)
    expect(second.response.headers.get('etag')).toBe(first.response.headers.get('etag'))
  })

  test('a writer reads the own write in another process by token; others wait for the fence', async () => {
    const two = await scene.start()
    const before = await read(two, '/products/1')
    const written = await change(one, 1, { priceCents: 1 })
    expect(written.status).toBe(200)
    const token = written.headers.get('lockstep-token') ?? ''
    expect((await read(two, '/products/1')).body).toEqual(before.body)
    const own = await read(two, '/products/1', { 'lockstep-token': token })
    expect(own.body).toMatchObject({ priceCents: 1, version: 2 })
  })

  test('a product that changes category leaves no list stale in any process', async () => {
    const two = await scene.start()
    const [[from]] = (await scene.query('select category_id::int from products where id = 1')) as [[number]]
    const to = (from % 3) + 1
    for (const api of [one, two]) expect([await idsOf(api, from), await idsOf(api, to)].flat()).toContain(1)
    await change(one, 1, { categoryId: to })
    await scene.deliver('update', { id: '1', category_id: `${from}` }, { id: '1', category_id: `${to}` })
    for (const api of [one, two]) {
      await waitFor(async () => (await idsOf(api, to)).includes(1), DEADLINE_MS)
      expect(await idsOf(api, from)).not.toContain(1)
    }
  })

  test('without the old category among the tags the list that a product left stays stale', async () => {
    const [[from]] = (await scene.query('select category_id::int from products where id = 1')) as [[number]]
    const to = (from % 3) + 1
    expect(await idsOf(one, from)).toContain(1)
    await change(one, 1, { categoryId: to })
    await scene.deliver('insert', {}, { id: '1', category_id: `${to}` })
    await waitFor(() => one.status().commitToL1.max > 0, DEADLINE_MS)
    expect(await idsOf(one, from)).toContain(1)
  })

  test('the admin port tells layers, commit-to-L1 times and counters', async () => {
    await read(one, '/products/1')
    await read(one, '/products/1')
    await scene.deliver('update', lamp, lamp)
    await waitFor(() => Object.keys(one.status().commitToL1.counts).length > 0, DEADLINE_MS)
    const metrics = await (await fetch(`${one.adminUrl}/metrics`)).text()
    expect(metrics).toContain('lockstep_cache_requests_total{layer="l1",outcome="hit"} 1')
    expect(metrics).toContain('lockstep_cache_requests_total{layer="database",outcome="load"} 1')
    expect(metrics).toMatch(/lockstep_commit_to_evict_seconds_count\{layer="l1"\} 2/)
    expect(metrics).toContain(
      'lockstep_http_request_duration_seconds_count{route="/products/:id",status_class="2xx"} 2',
    )
    expect(metrics).toContain('lockstep_database_pool_connections{state="idle"} 1')
    expect(metrics).toContain('lockstep_database_pool_waiting_requests 0')
    const status = (await (await fetch(`${one.adminUrl}/statusz`)).json()) as object
    expect(status).toMatchObject({ generation: 1, cache: { loads: 1, l1Hit: 1, tailAttached: true } })
    expect(await (await fetch(`${one.adminUrl}/readyz`)).json()).toMatchObject({ ready: true })
    expect((await fetch(`${one.url}/metrics`)).status).toBe(404)
  })

  test('a killed Redis costs neither answers nor readiness, and nothing is kept at the edge for long', async () => {
    await scene.redisServer.kill9()
    for (const path of ['/products/1', '/categories', '/categories/1/products']) {
      const { response } = await read(one, path)
      expect(response.status).toBe(200)
    }
    expect((await fetch(`${one.adminUrl}/readyz`)).status).toBe(200)
    const written = await change(one, 1, { priceCents: 3 })
    expect(written.status).toBe(200)
    const token = written.headers.get('lockstep-token') ?? ''
    expect((await read(one, '/products/1', { 'lockstep-token': token })).body).toMatchObject({ priceCents: 3 })
    await waitFor(async () => {
      const { response } = await read(one, '/products/1')
      return response.headers.get('cdn-cache-control') === 'max-age=1'
    }, DEADLINE_MS)
  })

  test('a process starts and serves without a Redis', async () => {
    const alone = await scene.startAlone({ LOCKSTEP_REDIS_URL: 'redis://127.0.0.1:1' })
    const { response } = await read(alone, '/products/1')
    expect(response.status).toBe(200)
    expect(response.headers.get('cdn-cache-control')).toBe('max-age=1')
    expect((await change(alone, 1, { priceCents: 3 })).headers.has('lockstep-token')).toBe(false)
    expect((await fetch(`${alone.adminUrl}/readyz`)).status).toBe(200)
  })

  test('a taken port is a configuration error that names the option', async () => {
    const port = new URL(one.url).port
    await expect(scene.start({ LOCKSTEP_API_PORT: port })).rejects.toMatchObject({
      code: 'LOCKSTEP_API_PORT_IN_USE',
      disposition: 'config',
      message: expect.stringContaining('LOCKSTEP_API_PORT') as unknown,
    })
    const adminPort = new URL(one.adminUrl).port
    await expect(scene.start({ LOCKSTEP_API_ADMIN_PORT: adminPort })).rejects.toMatchObject({
      disposition: 'config',
      message: expect.stringContaining('LOCKSTEP_API_ADMIN_PORT') as unknown,
    })
  })

  test('overload is refused with a problem that nobody may store; the admin port still answers', async () => {
    const busy = await scene.start({ LOCKSTEP_API_MAX_EVENT_LOOP_UTILIZATION: '0.000001' })
    await waitFor(async () => (await fetch(`${busy.url}/products/1`)).status === 503, DEADLINE_MS)
    const { response, body } = await read(busy, '/products/1')
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('retry-after')).toBe('1')
    expect(body).toMatchObject({ status: 503 })
    expect((await fetch(`${busy.adminUrl}/livez`)).status).toBe(200)
  })

  test('a stop answers what is in flight, lets go of kept-alive connections, and refuses the rest', async () => {
    const locker = new pg.Client({ connectionString: scene.databaseUrl })
    await locker.connect()
    await locker.query('begin; lock table products')
    const agent = new Agent({ keepAlive: true })
    const inFlight = new Promise<number | undefined>((resolve, reject) => {
      httpGet(`${one.url}/products/1`, { agent }, (response) => {
        response.resume()
        resolve(response.statusCode)
      }).on('error', reject)
    })
    await waitFor(() => one.status().cache.loadsInFlight === 1, DEADLINE_MS)
    const began = performance.now()
    const stopped = one.stop()
    expect(await (await fetch(`${one.adminUrl}/readyz`)).json()).toEqual({ ready: false, reasons: ['draining'] })
    await locker.query('rollback')
    await locker.end()
    expect(await inFlight).toBe(200)
    await stopped
    // A connection that stayed would hold the stop up for as long as the client likes.
    expect(performance.now() - began).toBeLessThan(5_000)
    await expect(fetch(one.url)).rejects.toThrow('fetch failed')
    agent.destroy()
  })
})
