import { startVarnish } from '@lockstep/servers'
import { expect, test } from 'vitest'
import type { EdgeProvider } from '../ports.ts'
import type { Credentials, ProviderKind } from '../providers/profile.ts'
import { edgeVcl } from '../vcl/edge-vcl.ts'
import { startEmulator } from './emulator/emulator.ts'
import { registerProviderContract } from './provider-contract.ts'
import { testProvider } from './providers.ts'
import { readEdge, startTestOrigin } from './test-origin.ts'

const TOKEN = 'tier-token'
const CREDENTIALS: Readonly<Record<Exclude<ProviderKind, 'varnish'>, Credentials>> = {
  fastly: { token: 'right' },
  cloudflare: { token: 'right' },
  google: { token: 'right' },
  bunny: { token: 'right' },
  http: { token: 'right' },
  akamai: { clientToken: 'akab-client', clientSecret: 'c2VjcmV0', accessToken: 'akab-access' },
  cloudfront: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' },
}
const WRONG: Credentials = {
  token: 'wrong',
  clientToken: 'akab-client',
  clientSecret: 'wrong',
  accessToken: 'akab-access',
  accessKeyId: 'AKIDEXAMPLE',
  secretAccessKey: 'wrong',
}
const never = new AbortController().signal
// The contract sends hundreds of requests in a second; pacing is tested where the buckets are.
const AMPLE = [{ unit: 'requests', perSecond: 1_000_000, burst: 1_000_000 }] as const

/** A shield and an edge before one origin, both real Varnishes, and one way to purge them in order. */
async function startTiers() {
  const origin = await startTestOrigin()
  const tier = async (backendPort: number) =>
    startVarnish({ vcl: edgeVcl({ backendHost: '127.0.0.1', backendPort }), env: { LOCKSTEP_PURGE_TOKEN: TOKEN } })
  const shield = await tier(origin.port)
  const edge = await tier(shield.port)
  const providers = [shield, edge].map(({ url }) => testProvider('varnish', { url, credentials: { token: TOKEN } }))
  // An emulated CDN is one tier to its customers: it takes requests larger than a Varnish does.
  const purgeAt = async (provider: EdgeProvider, keys: readonly string[] | 'everything') => {
    if (keys === 'everything') return void (await provider.purgeAll(never))
    for (let at = 0; at < keys.length; at += 100) await provider.purge(keys.slice(at, at + 100), never)
  }
  return {
    origin,
    url: edge.url,
    forward: async (keys: readonly string[] | 'everything') => {
      for (const provider of providers) await purgeAt(provider, keys)
    },
    stop: async () => {
      await Promise.all(providers.map(async (provider) => provider.close()))
      await edge.stop()
      await shield.stop()
      await origin.stop()
    },
  }
}

for (const kind of Object.keys(CREDENTIALS) as (keyof typeof CREDENTIALS)[]) {
  registerProviderContract(`the ${kind} profile on its emulator before two Varnish tiers`, async () => {
    const tiers = await startTiers()
    const credentials = CREDENTIALS[kind]
    const emulator = await startEmulator({ kind, credentials, forward: tiers.forward, rates: AMPLE })
    const provider = testProvider(kind, { url: emulator.url, credentials })
    const denied = testProvider(kind, { url: emulator.url, credentials: WRONG })
    return {
      provider,
      denied,
      set: (path, page) => tiers.origin.set(path, page),
      read: async (path) => readEdge(tiers.url, path),
      close: async () => {
        await Promise.all([provider.close(), denied.close()])
        await emulator.stop()
        await tiers.stop()
      },
    }
  })
}

test.for(Object.keys(CREDENTIALS) as (keyof typeof CREDENTIALS)[])(
  'past its rate %s throttles by its own words, and the profile understands them',
  async (kind) => {
    const credentials = CREDENTIALS[kind]
    const rates = [{ unit: 'requests', perSecond: 0.001, burst: 1 }] as const
    const emulator = await startEmulator({ kind, credentials, forward: () => Promise.resolve(), rates })
    const provider = testProvider(kind, { url: emulator.url, credentials })
    expect(await provider.purge(['a.1'], never)).toMatchObject({ kind: 'purged' })
    const reply = await provider.purge(['a.1'], never)
    expect(reply).toMatchObject({ kind: 'throttled' })
    expect(emulator.counts()).toMatchObject({ requests: 2, accepted: 1, throttled: 1 })
    await provider.close()
    await emulator.stop()
  },
)

test.for([
  ['fastly', 257],
  ['cloudflare', 101],
  ['akamai', 5_000],
  ['cloudfront', 3_001],
  ['google', 11],
] as const)('%s refuses a request of %i keys as its documents say, and purges none', async ([kind, count]) => {
  const credentials = CREDENTIALS[kind]
  const emulator = await startEmulator({ kind, credentials, forward: () => Promise.reject(new Error('purged')) })
  const provider = testProvider(kind, { url: emulator.url, credentials })
  const keys = Array.from({ length: count }, (_, index) => `product.${index}`)
  expect(await provider.purge(keys, never)).toMatchObject({ kind: 'refused' })
  expect(emulator.counts()).toMatchObject({ refused: 1, accepted: 0 })
  await provider.close()
  await emulator.stop()
})
