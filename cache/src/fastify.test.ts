import { encodeSurrogateKey, type Tag } from '@lockstep/schemas'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { cachedRoute, fastifyLockstep, type FastifyLockstepOptions } from './fastify.ts'
import { settle } from './testing/fake-clock.ts'
import { createWorld, type Process, type World } from './testing/world.ts'
import { signToken } from './token.ts'

const SECRET = 'secret'
const keysOf = (...tags: string[]): string[] => tags.map((tag) => encodeSurrogateKey(tag as Tag)).toSorted()

describe('cache/fastify', () => {
  let world: World
  let process: Process
  let app: FastifyInstance

  async function serve(options: Partial<FastifyLockstepOptions> = {}): Promise<FastifyInstance> {
    app = Fastify()
    await app.register(fastifyLockstep, { cache: process.cache, reboundMs: 1_000, tokenSecret: SECRET, ...options })
    app.get<{ Params: { id: string } }>('/products/:id', async (request, reply) => {
      const product = await request.lockstep.read(process.products, request.params.id)
      if (product === null) return reply.code(404).send({ error: 'no such product' })
      return product
    })
    app.put('/products/:id', async (request) => request.lockstep.read(process.products, '1'))
    app.get('/pair', async ({ lockstep }) => [
      await lockstep.read(process.products, '1'),
      await lockstep.read(process.products, '2'),
    ])
    app.get('/many', async ({ lockstep }) => {
      for (let id = 0; id < 800; id++) await lockstep.read(process.products, `${id}`)
      return 'many'
    })
    app.get('/private', async ({ lockstep }, reply) => {
      reply.header('cache-control', 'private, max-age=5')
      return lockstep.read(process.products, '1')
    })
    app.get('/login', async ({ lockstep }, reply) => {
      reply.header('set-cookie', 'a=b')
      return lockstep.read(process.products, '1')
    })
    app.get('/broken', async ({ lockstep }) => {
      await lockstep.read(process.products, '1')
      throw new Error('broken')
    })
    app.get('/plain', () => 'plain')
    return app
  }

  beforeEach(async () => {
    world = await createWorld()
    process = await world.process()
    // Until then nothing rules out that a tag was fenced just before the process began.
    await world.beat(1_500)
    await serve()
  })
  afterEach(async () => {
    await app.close()
    await world.end()
  })

  test('an answer names its tags, their classes and everything, and may stay at the edge only', async () => {
    const { headers } = await app.inject('/products/1')
    expect(String(headers['surrogate-key']).split(' ').toSorted()).toEqual(
      keysOf('product:1', 'category:7', 'product:*', 'category:*', '*'),
    )
    expect(headers['cdn-cache-control']).toBe('max-age=60')
    expect(headers['cache-control']).toBe('public, max-age=0, must-revalidate')
    expect(headers['lockstep-stamp']).toBe(world.pipeline.stamp)
    expect(headers['cache-status']).toBe('lockstep-l1; fwd=miss; stored')
    expect((await app.inject('/products/1')).headers['cache-status']).toBe('lockstep-l1; hit')
  })

  test('an answer of several reads has the tags of all, the oldest stamp and the farthest layer', async () => {
    const older = world.pipeline.stamp
    await app.inject('/products/1')
    await world.change('9')
    const { headers } = await app.inject('/pair')
    expect(headers['lockstep-stamp']).toBe(older)
    expect(headers['cache-status']).toBe('lockstep-l1; fwd=miss; stored')
    expect(String(headers['surrogate-key']).split(' ')).toEqual(
      expect.arrayContaining(keysOf('product:1', 'product:2')),
    )
  })

  test('a hit repeats the body and the ETag of the first answer; a change makes both anew', async () => {
    const first = await app.inject('/products/1')
    const hit = await app.inject('/products/1')
    expect(hit.body).toBe(first.body)
    for (const name of ['etag', 'content-type', 'content-length', 'surrogate-key'])
      expect(hit.headers[name]).toBe(first.headers[name])
    await world.change('1')
    const changed = await app.inject('/products/1')
    expect(changed.json()).toEqual({ id: '1', version: 2 })
    expect(changed.headers['etag']).not.toBe(first.headers['etag'])
  })

  test('what other hooks make of a body is what is sent, and what the ETag is of', async () => {
    await app.close()
    app = Fastify()
    app.addHook('onSend', (request, _reply, payload, next) =>
      next(null, `${String(payload)} to ${(request.query as { to: string }).to}`),
    )
    await app.register(fastifyLockstep, { cache: process.cache })
    app.get('/products/1', async ({ lockstep }) => lockstep.read(process.products, '1'))
    const [anna, berta, again] = [
      await app.inject('/products/1?to=anna'),
      await app.inject('/products/1?to=berta'),
      await app.inject('/products/1?to=anna'),
    ]
    expect(anna.body).toMatch(/^\{.*\} to anna$/)
    expect(berta.body).toMatch(/^\{.*\} to berta$/)
    expect(again.body).toBe(anna.body)
    expect(again.headers['etag']).toBe(anna.headers['etag'])
    expect(berta.headers['etag']).not.toBe(anna.headers['etag'])
  })

  test('a schema that depends on the media type and a serialiser of its own are asked each time', async () => {
    await app.close()
    app = Fastify()
    await app.register(fastifyLockstep, { cache: process.cache })
    const content = { 'application/json': { schema: { type: 'object', properties: { id: { type: 'string' } } } } }
    app.get('/typed', { schema: { response: { 200: { content } } } }, async ({ lockstep }) =>
      lockstep.read(process.products, '1'),
    )
    let runs = 0
    app.get('/own', async ({ lockstep }, reply) => {
      void reply.serializer(() => `run ${++runs}`)
      return lockstep.read(process.products, '1')
    })
    for (let round = 1; round < 3; round++) {
      expect((await app.inject('/typed')).json()).toEqual({ id: '1' })
      expect((await app.inject('/own')).body).toBe(`run ${round}`)
    }
  })

  test('a known ETag is answered 304 without a body and with the tags again', async () => {
    const first = await app.inject('/products/1')
    const etag = String(first.headers.etag)
    expect(etag).toMatch(/^"[\w-]{24}"$/)
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`]) {
      const again = await app.inject({ url: '/products/1', headers: { 'if-none-match': known } })
      expect(again.statusCode).toBe(304)
      expect(again.body).toBe('')
      expect(again.headers['surrogate-key']).toBe(first.headers['surrogate-key'])
      expect(again.headers.etag).toBe(etag)
    }
    await world.change('1')
    const changed = await app.inject({ url: '/products/1', headers: { 'if-none-match': etag } })
    expect(changed.statusCode).toBe(200)
    expect(changed.headers.etag).not.toBe(etag)
  })

  test('"there is none" is tagged too, for its own time', async () => {
    world.write('5', 0)
    const { statusCode, headers } = await app.inject('/products/5')
    expect(statusCode).toBe(404)
    expect(headers['cdn-cache-control']).toBe('max-age=10')
    expect(headers['surrogate-key']).toContain(encodeSurrogateKey('product:5' as Tag))
  })

  test('an answer whose tag was fenced within the rebound, or whose watermark is old, lives a second', async () => {
    const lifetime = async () => (await app.inject('/products/1')).headers['cdn-cache-control']
    await world.change('1', ['category:*'])
    expect(await lifetime()).toBe('max-age=1')
    await world.beat(1_100)
    expect(await lifetime()).toBe('max-age=60')
    await world.clock.advance(450)
    expect(await lifetime()).toBe('max-age=60')
    // Half of the rebound: what a process has not heard of for longer may reach the edge behind the second purge.
    await world.clock.advance(150)
    expect(await lifetime()).toBe('max-age=1')
    await world.clock.advance(10_000)
    expect(await lifetime()).toBe('max-age=1')
  })

  test('an answer that took longer than the rebound, and whose tag was fenced meanwhile, is not stored', async () => {
    const answerLoad = process.holdLoads()
    const pending = app.inject('/products/1')
    await settle()
    await world.change('1')
    await world.beat(1_100)
    answerLoad()
    const { headers } = await pending
    expect(headers['cache-control']).toBe('no-store')
    for (const name of ['surrogate-key', 'cdn-cache-control']) expect(headers[name]).toBeUndefined()
  })

  test.each([
    ['an Authorization header', { url: '/products/1', headers: { authorization: 'Bearer x' } }],
    ['a Cookie', { url: '/products/1', headers: { cookie: 'a=b' } }],
    ['a Set-Cookie in the answer', { url: '/login' }],
    ['a route that says private', { url: '/private' }],
  ])('%s makes the answer personal: not stored, not tagged', async (_, request) => {
    const { headers } = await app.inject(request)
    expect(headers['cache-control']).toBe('private, no-store')
    for (const name of ['surrogate-key', 'cdn-cache-control', 'etag']) expect(headers[name]).toBeUndefined()
  })

  test.each([
    ['an error', { url: '/broken' }],
    ['an unknown route', { url: '/products/1/x/y' }],
    ['a write', { url: '/products/1', method: 'PUT' as const }],
    ['more tags than a header holds', { url: '/many' }],
  ])('%s is never stored', async (_, request) => {
    const { headers } = await app.inject(request)
    expect(headers['cache-control']).toBe('no-store')
    for (const header of ['surrogate-key', 'cdn-cache-control']) expect(headers[header]).toBeUndefined()
  })

  test('a route that reads nothing keeps its own headers', async () => {
    const { headers } = await app.inject('/plain')
    for (const name of ['cache-control', 'surrogate-key', 'etag', 'cache-status']) expect(headers[name]).toBeUndefined()
  })

  test('where every answer is to say what the cache did, those say it too that nothing was read for', async () => {
    await app.close()
    await serve({ cacheStatusAlways: true })
    const statusOf = async (method: 'GET' | 'PUT', url: string) =>
      (await app.inject({ method, url })).headers['cache-status']
    expect(await statusOf('GET', '/plain')).toBe('lockstep-l1; fwd=bypass')
    expect(await statusOf('GET', '/nowhere')).toBe('lockstep-l1; fwd=bypass')
    expect(await statusOf('PUT', '/nowhere')).toBe('lockstep-l1; fwd=method')
    expect(await statusOf('GET', '/products/1')).toBe('lockstep-l1; fwd=miss; stored')
  })

  test('a verified token demands at least its stamp; any other text is no token', async () => {
    await app.inject('/products/1')
    world.write('1')
    const token = signToken(world.pipeline.commit(), SECRET)
    const read = async (header: string) =>
      (await app.inject({ url: '/products/1', headers: { 'lockstep-token': header } })).json<{ version: number }>()
        .version
    expect(await read(token.replace('.', 'x'))).toBe(1)
    expect(await read(signToken(world.pipeline.stamp, 'other'))).toBe(1)
    expect(await read(token)).toBe(2)
  })

  test('tags are named in the header of each CDN that is asked for', async () => {
    await app.close()
    await serve({ tagHeaders: ['surrogate-key', 'cache-tag'] })
    const { headers } = await app.inject('/products/1')
    expect(String(headers['cache-tag']).split(',')).toEqual(String(headers['surrogate-key']).split(' '))
  })

  describe('a whole route', () => {
    let runs: number
    beforeEach(async () => {
      runs = 0
      await app.close()
      const later = await serve()
      const handler = cachedRoute(process.cache, { name: 'pair', ttlMs: 60_000 }, async ({ lockstep, url }) => {
        runs += 1
        return { url, one: await lockstep.read(process.products, '1'), two: await lockstep.read(process.products, '2') }
      })
      later.route({ method: ['GET', 'POST'], url: '/cached', handler })
    })
    const one = async (url = '/cached') => (await app.inject(url)).json<{ one: { version: number } }>().one.version

    test('runs its handler once per URL, and its answer depends on all that it read', async () => {
      const first = await app.inject('/cached')
      expect((await app.inject('/cached')).body).toBe(first.body)
      expect(runs).toBe(1)
      expect(first.json()).toMatchObject({ url: '/cached', two: { id: '2', version: 1 } })
      expect(String(first.headers['surrogate-key']).split(' ')).toEqual(
        expect.arrayContaining(keysOf('product:1', 'product:2', 'pair:*')),
      )
      await app.inject('/cached?page=2')
      expect(runs).toBe(2)
      await world.change('1')
      expect(await one()).toBe(2)
      expect(runs).toBe(3)
    })

    test('is as old as the oldest thing it was made of', async () => {
      await process.products.read('1')
      // A change of product:1 whose fence is late, overtaken by another one: the page is loaded at a stamp that sees it,
      // of a part that does not.
      world.write('1')
      const late = world.pipeline.commit()
      await world.change('9')
      expect(await one()).toBe(1)
      await world.pipeline.fence(['product:1'], late)
      await settle()
      expect(await one()).toBe(2)
    })

    test('lets requests with credentials and writes past', async () => {
      await app.inject('/cached')
      for (const request of [{ headers: { cookie: 'a=b' } }, { method: 'POST' as const }]) {
        const { headers } = await app.inject({ url: '/cached', ...request })
        expect(String(headers['cache-control'])).toContain('no-store')
      }
      expect(runs).toBe(3)
    })
  })
})
