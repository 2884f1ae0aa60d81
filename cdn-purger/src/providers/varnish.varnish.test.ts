import { startVarnish } from '@lockstep/servers'
import { expect, test } from 'vitest'
import { registerEdgeLaws } from '../testing/edge-laws.ts'
import { registerProviderContract } from '../testing/provider-contract.ts'
import { registerRaceLaws } from '../testing/race-laws.ts'
import { testProvider } from '../testing/providers.ts'
import { readEdge, startTestOrigin } from '../testing/test-origin.ts'
import { edgeVcl } from '../vcl/edge-vcl.ts'

const never = new AbortController().signal
const TOKEN = 'right'

const start = async (backendPort: number, token: string | null = TOKEN) =>
  startVarnish({
    vcl: edgeVcl({ backendHost: '127.0.0.1', backendPort }),
    ...(token === null ? {} : { env: { LOCKSTEP_PURGE_TOKEN: token } }),
  })
const providerOf = (url: string, token = TOKEN, name = 'varnish') =>
  testProvider('varnish', { name, url, credentials: { token } })

registerProviderContract('the Varnish adapter on a real Varnish', async () => {
  const origin = await startTestOrigin()
  const varnish = await start(origin.port)
  const [provider, denied] = [providerOf(varnish.url), providerOf(varnish.url, 'wrong')]
  return {
    provider,
    denied,
    set: (path, page) => origin.set(path, page),
    read: async (path) => readEdge(varnish.url, path),
    close: async () => {
      await Promise.all([provider.close(), denied.close()])
      await varnish.stop()
      await origin.stop()
    },
  }
})

registerEdgeLaws('Varnish with our VCL', async (origin) => {
  const varnish = await start(origin.port)
  const provider = providerOf(varnish.url)
  return {
    url: varnish.url,
    purge: async (key) => provider.purge([key], never),
    stop: async () => {
      await provider.close()
      await varnish.stop()
    },
  }
})

registerRaceLaws('Varnish with our VCL', async (originPort, tier) => {
  const varnish = await start(originPort)
  const provider = providerOf(varnish.url, TOKEN, tier)
  return { url: varnish.url, port: varnish.port, provider, stop: async () => varnish.stop() }
})

test('without a token in its environment Varnish lets nobody purge', async () => {
  const origin = await startTestOrigin()
  const varnish = await start(origin.port, null)
  for (const headers of [{}, { 'x-purge-token': '' }, { 'x-purge-token': TOKEN }]) {
    const provider = providerOf(varnish.url, headers['x-purge-token'] ?? '')
    expect(await provider.purge(['a'], never)).toMatchObject({ kind: 'denied' })
    await provider.close()
  }
  await varnish.stop()
  await origin.stop()
})

test('Varnish tells how many objects a purge removed', async () => {
  const origin = await startTestOrigin()
  const varnish = await start(origin.port)
  const provider = providerOf(varnish.url)
  for (const path of ['/1', '/2', '/3']) {
    origin.set(path, { body: 'x', tags: ['counted'] })
    await readEdge(varnish.url, path)
  }
  expect(await provider.purge(['counted'], never)).toEqual({ kind: 'purged', objects: 3 })
  expect(await provider.purge(['counted'], never)).toEqual({ kind: 'purged', objects: 0 })
  await provider.close()
  await varnish.stop()
  await origin.stop()
})
