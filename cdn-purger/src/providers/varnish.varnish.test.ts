import { waitFor } from '@lockstep/runtime/testing'
import { startVarnish } from '@lockstep/servers'
import { describe, expect, test } from 'vitest'
import type { PurgeLimits } from '../ports.ts'
import { registerEdgeLaws } from '../testing/edge-laws.ts'
import { registerProviderContract } from '../testing/provider-contract.ts'
import { registerRaceLaws } from '../testing/race-laws.ts'
import { testProvider } from '../testing/providers.ts'
import { takeBatch } from '../testing/take-batch.ts'
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
  // Varnish lets go of them in a thread of its own: until then the index still names them.
  await expect
    .poll(() => provider.purge(['counted'], never), { timeout: 5_000 })
    .toEqual({ kind: 'purged', objects: 0 })
  await provider.close()
  await varnish.stop()
  await origin.stop()
})

describe('tags that get lost', () => {
  /** What a client reads through two tiers after a refresh by 304 without tags and a purge of the tag from both. */
  const purgeAfterUntagged304 = async (vclOf: (vcl: string) => string) => {
    const origin = await startTestOrigin()
    const tier = async (backendPort: number) => {
      const vcl = vclOf(edgeVcl({ backendHost: '127.0.0.1', backendPort }))
      return startVarnish({ vcl, env: { LOCKSTEP_PURGE_TOKEN: TOKEN } })
    }
    const shield = await tier(origin.port)
    const edge = await tier(shield.port)
    origin.set('/p', { body: 'old', tags: ['a'], etag: '"1"', freshness: 'max-age=1' })
    await readEdge(edge.url, '/p')
    await waitFor(async () => (await readEdge(edge.url, '/p')).label !== 'HIT', 5_000)
    origin.set('/p', { body: 'new', tags: ['a'], etag: '"2"' })
    expect(await readEdge(edge.url, '/p')).toMatchObject({ label: 'HIT', body: 'old' })
    for (const { url } of [shield, edge]) {
      const provider = providerOf(url)
      expect(await provider.purge(['a'], never)).toMatchObject({ kind: 'purged' })
      await provider.close()
    }
    const { body } = await readEdge(edge.url, '/p')
    for (const server of [edge, shield, origin]) await server.stop()
    return body
  }

  test('a response refreshed by a 304 without tags can still be purged', async () => {
    expect(await purgeAfterUntagged304((vcl) => vcl)).toBe('new')
  })

  test('where the VCL moves tags without looking, it can not (the condition in ours is what keeps them)', async () => {
    const ours = 'if (beresp.http.Surrogate-Key) { set beresp.http.xkey = beresp.http.Surrogate-Key; }'
    const careless = 'set beresp.http.xkey = beresp.http.Surrogate-Key; unset beresp.http.Surrogate-Key;'
    const hidden = 'unset resp.http.xkey;'
    const mutate = (vcl: string) => {
      for (const line of [ours, hidden]) expect(vcl).toContain(line)
      // The next tier still gets what this one has.
      return vcl.replace(ours, careless).replace(hidden, `set resp.http.Surrogate-Key = resp.http.xkey; ${hidden}`)
    }
    expect(await purgeAfterUntagged304(mutate)).toBe('old')
  })

  /** How many of a thousand tagged pages two tiers as they come out of the box still answer from before their purge. */
  const purgeThousand = async (limits: Partial<PurgeLimits>) => {
    const origin = await startTestOrigin()
    const untuned = ['-p', 'http_req_hdr_len=8k', '-p', 'http_req_size=32k', '-p', 'workspace_client=64k']
    const tier = async (backendPort: number) => {
      const vcl = edgeVcl({ backendHost: '127.0.0.1', backendPort })
      return startVarnish({ vcl, env: { LOCKSTEP_PURGE_TOKEN: TOKEN }, args: untuned })
    }
    const shield = await tier(origin.port)
    const edge = await tier(shield.port)
    const keys = Array.from({ length: 1_000 }, (_, index) => `product.${index}`)
    for (const key of keys) {
      origin.set(`/${key}`, { body: 'old', tags: [key] })
      await readEdge(edge.url, `/${key}`)
      origin.set(`/${key}`, { body: 'new', tags: [key] })
    }
    const kinds = new Set<string>()
    for (const { url } of [shield, edge]) {
      const provider = testProvider('varnish', { url, credentials: { token: TOKEN }, limits })
      const queue = new Map(keys.map((key) => [key, { key }]))
      while (queue.size > 0) {
        const batch = takeBatch(queue, provider.limits).map(({ key }) => key)
        kinds.add((await provider.purge(batch, never)).kind)
      }
      await provider.close()
    }
    const bodies = await Promise.all(keys.map(async (key) => (await readEdge(edge.url, `/${key}`)).body))
    await edge.stop()
    await shield.stop()
    await origin.stop()
    return { kinds: [...kinds], old: bodies.filter((body) => body === 'old').length }
  }

  test('a thousand keys are purged from two Varnishes as they come, in headers that they take', async () => {
    expect(await purgeThousand({})).toEqual({ kinds: ['purged'], old: 0 })
  })

  test('in one header none of them is (the limit of bytes is what prevents it)', async () => {
    const { kinds, old } = await purgeThousand({ maxKeys: 1_000, maxBytes: 1_000_000 })
    expect(kinds).not.toContain('purged')
    expect(old).toBe(1_000)
  })
})
