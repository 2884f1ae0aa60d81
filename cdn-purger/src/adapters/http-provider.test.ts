import { createServer } from 'node:http'
import type { RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { HTTP } from '../providers/http.ts'
import { VARNISH } from '../providers/varnish.ts'
import { createHttpProvider, retryAfterMs } from './http-provider.ts'

const never = new AbortController().signal
const cleanups: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

async function callAgainst(listener: RequestListener, timeoutMs = 2_000, signal = never, profile = HTTP) {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const endpoint = { url: new URL(`http://127.0.0.1:${port}`), credentials: { token: 't' }, isSoft: false }
  const http = createHttpProvider({ name: 'http', profile, endpoint, timeoutMs, wallMs: () => 0 })
  cleanups.push(async () => {
    await http.close()
    server.closeAllConnections()
    server.close()
  })
  return http.purge(['a'], signal)
}

describe('cdn-purger/http-provider', () => {
  test.for([
    [200, 'purged'],
    [302, 'denied'],
    [400, 'refused'],
    [401, 'denied'],
    [403, 'denied'],
    [404, 'denied'],
    [413, 'refused'],
    [429, 'throttled'],
    [431, 'refused'],
    [500, 'unavailable'],
    [503, 'unavailable'],
  ] as const)('status %i means %s', async ([status, kind]) => {
    const reply = await callAgainst((_, response) => {
      response.writeHead(status, { location: '/elsewhere' })
      response.end()
    })
    expect(reply.kind).toBe(kind)
  })

  test('a redirect is not followed: the token stays at home', async () => {
    let requests = 0
    await callAgainst((_, response) => {
      requests += 1
      response.writeHead(307, { location: '/again' })
      response.end()
    })
    expect(requests).toBe(1)
  })

  test('no answer in time, or one that never ends, is unavailable', async () => {
    expect(await callAgainst(() => undefined, 100)).toMatchObject({ kind: 'unavailable' })
    const endless = await callAgainst((_, response) => {
      response.writeHead(200)
      response.write('a')
    }, 100)
    expect(endless).toMatchObject({ kind: 'unavailable' })
  })

  test('a Varnish of our own may be asked again within a second, a provider when the purger thinks fit', async () => {
    const cut: RequestListener = (request) => void request.socket.destroy()
    const asVarnish = { ...HTTP, retryWithinMs: VARNISH.retryWithinMs }
    const reply = await callAgainst(cut, 2_000, never, asVarnish)
    expect(reply).toMatchObject({ kind: 'unavailable', retryWithinMs: 1_000 })
    expect(await callAgainst(cut)).not.toHaveProperty('retryWithinMs')
  })

  test('an answer without bound is cut off', async () => {
    const reply = await callAgainst((_, response) => {
      response.writeHead(200)
      const more = () => {
        while (response.write('x'.repeat(65_536)));
      }
      response.on('drain', more)
      more()
    })
    expect(reply).toMatchObject({ kind: 'unavailable', detail: expect.stringContaining('larger than') as string })
  })

  test('an abort rejects with its reason', async () => {
    const stopping = new AbortController()
    const pending = callAgainst(() => stopping.abort(new Error('stopping')), 5_000, stopping.signal)
    await expect(pending).rejects.toThrow('stopping')
  })

  test('Retry-After is read as seconds or as a date', () => {
    const now = Date.UTC(2026, 0, 1)
    expect(retryAfterMs('7', now)).toBe(7_000)
    expect(retryAfterMs(new Date(now + 3_000).toUTCString(), now)).toBe(3_000)
    expect(retryAfterMs(new Date(now - 3_000).toUTCString(), now)).toBe(0)
    expect(retryAfterMs('soon', now)).toBeNull()
    expect(retryAfterMs(undefined, now)).toBeNull()
  })
})
