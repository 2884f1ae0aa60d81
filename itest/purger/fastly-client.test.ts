import { edgeVcl, createHttpProvider, PROFILES } from '@lockstep/cdn-purger'
import { startEmulator } from '@lockstep/cdn-purger/testing'
import { startVarnish } from '@lockstep/servers'
import fastly from 'fastly'
import type { PurgeApi } from 'fastly'
import Fastify from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'

const TOKEN = 'right'
const never = new AbortController().signal
const cleanups: (() => Promise<unknown>)[] = []
let url: string
let purges: PurgeApi
let serviceId: string
let body = ''

beforeAll(async () => {
  const origin = Fastify()
  origin.get('/:page', async (request, reply) => {
    const { page } = request.params as { page: string }
    return reply.header('cdn-cache-control', 'max-age=60').header('surrogate-key', `page.${page} all`).send(body)
  })
  await origin.listen({ port: 0, host: '127.0.0.1' })
  cleanups.push(async () => origin.close())
  const backendPort = (origin.server.address() as { port: number }).port
  const vcl = edgeVcl({ backendHost: '127.0.0.1', backendPort })
  const varnish = await startVarnish({ vcl, env: { LOCKSTEP_PURGE_TOKEN: 'tier' } })
  cleanups.push(async () => varnish.stop())
  const endpoint = { url: new URL(varnish.url), credentials: { token: 'tier' }, isSoft: false }
  const options = { name: 'varnish', profile: PROFILES.varnish, endpoint, timeoutMs: 2_000, wallMs: () => Date.now() }
  const tier = createHttpProvider(options)
  cleanups.push(async () => tier.close())
  const emulator = await startEmulator({
    kind: 'fastly',
    credentials: { token: TOKEN },
    forward: async (keys) => (keys === 'everything' ? tier.purgeAll(never) : tier.purge(keys, never)),
  })
  cleanups.push(async () => emulator.stop())
  url = varnish.url
  serviceId = new URL(emulator.url).pathname.split('/').at(-1) ?? ''
  purges = new fastly.PurgeApi()
  // The client has Fastly's address built into each call.
  const client = purges.apiClient
  const buildUrl = client.buildUrl.bind(client)
  client.buildUrl = (path, params, reserved) => buildUrl(path, params, reserved, new URL(emulator.url).origin)
})
afterAll(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup()
})

async function read(page: string): Promise<string> {
  const response = await fetch(`${url}/${page}`)
  return `${response.headers.get('x-cache') ?? ''} ${await response.text()}`
}

async function keepThenChange(...pages: string[]): Promise<void> {
  body = 'old'
  for (const page of pages) await read(page)
  body = 'new'
  for (const page of pages) expect(await read(page)).toBe('HIT old')
}

test("Fastly's own client purges one key, many and everything of an edge behind our emulator", async () => {
  fastly.ApiClient.instance.authenticate(TOKEN)
  await keepThenChange('a', 'b', 'c')
  expect(await purges.purgeTag({ service_id: serviceId, surrogate_key: 'page.a' })).toMatchObject({ status: 'ok' })
  expect([await read('a'), await read('b')]).toEqual(['MISS new', 'HIT old'])
  const keys = ['page.b', 'page.nobody']
  const ids = await purges.bulkPurgeTag({ service_id: serviceId, purge_response: { surrogate_keys: keys } })
  expect(Object.keys(ids)).toEqual(keys)
  expect([await read('b'), await read('c')]).toEqual(['MISS new', 'HIT old'])
  expect(await purges.purgeAll({ service_id: serviceId })).toMatchObject({ status: 'ok' })
  expect(await read('c')).toBe('MISS new')
})

test('with a wrong token it is refused, and nothing is purged', async () => {
  fastly.ApiClient.instance.authenticate('wrong')
  await keepThenChange('d')
  await expect(purges.purgeTag({ service_id: serviceId, surrogate_key: 'page.d' })).rejects.toMatchObject({
    status: 401,
  })
  expect(await read('d')).toBe('HIT old')
})
