import { describe, expect, test } from 'vitest'
import { registerEdgeLaws } from '../testing/edge-laws.ts'
import { testProvider } from '../testing/providers.ts'
import { registerRaceLaws } from '../testing/race-laws.ts'
import { readEdge, startTestOrigin } from '../testing/test-origin.ts'
import type { TestOrigin } from '../testing/test-origin.ts'
import { startMiniEdge } from './mini-edge.ts'
import type { MiniEdge, MiniEdgeOptions } from './mini-edge.ts'

const TOKEN = 'right'
const call = async (edge: MiniEdge, path: string, init: RequestInit = {}) =>
  fetch(edge.purgeUrl + path, { method: 'POST', headers: { 'fastly-key': TOKEN }, ...init })

registerEdgeLaws('the mini edge', async (origin) => {
  const edge = await startMiniEdge({ originUrl: origin.url, token: TOKEN })
  return {
    url: edge.url,
    purge: async (key) => call(edge, `/purge/${key}`),
    stop: async () => edge.stop(),
  }
})

// As hosted CDNs do, this edge stores what a purge overlapped: it stands for them.
registerRaceLaws('a CDN that answers the Fastly API', async (originPort, tier) => {
  const originUrl = `http://127.0.0.1:${originPort}`
  const edge = await startMiniEdge({ originUrl, token: TOKEN, unsafeStoreOverlapped: true })
  const provider = testProvider('fastly', { name: tier, url: edge.purgeUrl, credentials: { token: TOKEN } })
  return { url: edge.url, port: edge.port, provider, stop: async () => edge.stop() }
})

describe('cdn-purger/mini-edge', () => {
  const withEdge = async (
    options: Partial<MiniEdgeOptions>,
    run: (edge: MiniEdge, origin: TestOrigin) => Promise<void>,
  ) => {
    const origin = await startTestOrigin()
    const edge = await startMiniEdge({ originUrl: origin.url, token: TOKEN, ...options })
    try {
      await run(edge, origin)
    } finally {
      await edge.stop()
      await origin.stop()
    }
  }

  test('a fetch that a purge of its tag overlapped is answered but never stored', async () => {
    await withEdge({}, async (edge, origin) => {
      origin.set('/p', { body: 'old', tags: ['a'] })
      const gate = origin.hold('/p')
      const slow = readEdge(edge.url, '/p')
      while (origin.requests.length === 0) await new Promise((resolve) => setImmediate(resolve))
      origin.set('/p', { body: 'new', tags: ['a'] })
      await call(edge, '/purge/a')
      gate.release()
      expect((await slow).body).toBe('old')
      expect(await readEdge(edge.url, '/p')).toMatchObject({ label: 'MISS', body: 'new' })
    })
  })

  test('256 keys are purged in one request; of 257 none is', async () => {
    await withEdge({}, async (edge, origin) => {
      origin.set('/p', { body: 'x', tags: ['k.0'] })
      await readEdge(edge.url, '/p')
      const keys = Array.from({ length: 257 }, (_, index) => `k.${index}`)
      const send = async (surrogateKeys: string[]) =>
        call(edge, '/purge', { body: JSON.stringify({ surrogate_keys: surrogateKeys }) })
      expect((await send(keys)).status).toBe(400)
      expect((await readEdge(edge.url, '/p')).label).toBe('HIT')
      expect((await send(keys.slice(0, 256))).status).toBe(200)
      expect((await readEdge(edge.url, '/p')).label).toBe('MISS')
    })
  })

  test('the purge API is not reachable on the port for readers', async () => {
    await withEdge({}, async (edge) => {
      const path = new URL(edge.purgeUrl).pathname
      const headers = { 'fastly-key': TOKEN }
      const response = await fetch(`${edge.url}${path}/purge_all`, { method: 'POST', headers })
      expect(response.headers.get('x-cache')).toBe('PASS')
    })
  })

  test('stale answers last as long as stale-while-revalidate allows, and a new one replaces them', async () => {
    let nowMs = 0
    await withEdge({ nowMs: () => nowMs }, async (edge, origin) => {
      origin.set('/p', { body: 'one', freshness: 'max-age=10, stale-while-revalidate=5' })
      await readEdge(edge.url, '/p')
      origin.set('/p', { body: 'two', freshness: 'max-age=10, stale-while-revalidate=5' })
      nowMs = 12_000
      expect(await readEdge(edge.url, '/p')).toMatchObject({ label: 'STALE', body: 'one' })
      while (edge.status().miss !== 2) await new Promise((resolve) => setImmediate(resolve))
      expect(await readEdge(edge.url, '/p')).toMatchObject({ label: 'HIT', body: 'two' })
      nowMs = 28_000
      expect(await readEdge(edge.url, '/p')).toMatchObject({ label: 'MISS' })
    })
  })

  test('an unreachable origin is a 502 that nobody stores, or a stale answer where the origin allows it', async () => {
    let nowMs = 0
    await withEdge({ nowMs: () => nowMs }, async (edge, origin) => {
      origin.set('/p', { body: 'one', freshness: 'max-age=1, stale-if-error=60' })
      await readEdge(edge.url, '/p')
      await origin.stop()
      nowMs = 2_000
      expect(await readEdge(edge.url, '/p')).toMatchObject({ label: 'STALE', body: 'one' })
      expect(await readEdge(edge.url, '/other')).toMatchObject({ status: 502 })
    })
  })

  test('the store stays within its bound and drops what was used least recently', async () => {
    await withEdge({ maxBytes: 8_000 }, async (edge, origin) => {
      for (const path of ['/a', '/b', '/c', '/d']) origin.set(path, { body: 'x'.repeat(1_000) })
      for (const path of ['/a', '/b', '/c', '/a', '/d']) await readEdge(edge.url, path)
      expect(edge.status().bytes).toBeLessThanOrEqual(8_000)
      expect((await readEdge(edge.url, '/a')).label).toBe('HIT')
      expect((await readEdge(edge.url, '/b')).label).toBe('MISS')
    })
  })

  test('a body above maxObjectBytes reaches the client whole and is not stored', async () => {
    await withEdge({ maxObjectBytes: 1_000 }, async (edge, origin) => {
      origin.set('/big', { body: 'x'.repeat(300_000) })
      for (const _ of [1, 2]) {
        const { label, body } = await readEdge(edge.url, '/big')
        expect([label, body.length]).toEqual(['MISS', 300_000])
      }
    })
  })

  test('an empty token is refused at start', async () => {
    await expect(startMiniEdge({ originUrl: 'http://127.0.0.1:1', token: '' })).rejects.toThrow('token')
  })
})
