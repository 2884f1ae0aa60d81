import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { encodeSurrogateKey, EVERYTHING } from '@lockstep/schemas'
import { expect, test } from 'vitest'
import { startMiniEdge } from '../edge/mini-edge.ts'
import { registerProviderContract } from '../testing/provider-contract.ts'
import { testProvider } from '../testing/providers.ts'
import { readEdge, startTestOrigin } from '../testing/test-origin.ts'

const providerOf = (url: string, token: string, isSoft = false) =>
  testProvider('fastly', { url, credentials: { token }, isSoft })

registerProviderContract('the Fastly adapter on the mini edge', async () => {
  const origin = await startTestOrigin()
  const edge = await startMiniEdge({ originUrl: origin.url, token: 'right' })
  const provider = providerOf(edge.purgeUrl, 'right')
  const denied = providerOf(edge.purgeUrl, 'wrong')
  return {
    provider,
    denied,
    set: (path, page) => origin.set(path, page),
    read: async (path) => readEdge(edge.url, path),
    close: async () => {
      await Promise.all([provider.close(), denied.close()])
      await edge.stop()
      await origin.stop()
    },
  }
})

test('a soft purge never answers from before the change unless the origin allows stale answers', async () => {
  const origin = await startTestOrigin()
  const edge = await startMiniEdge({ originUrl: origin.url, token: 'right' })
  const soft = providerOf(edge.purgeUrl, 'right', true)
  origin.set('/strict', { body: 'old', tags: ['a'] })
  await readEdge(edge.url, '/strict')
  origin.set('/strict', { body: 'new', tags: ['a'] })
  await soft.purge(['a'], new AbortController().signal)
  expect(await readEdge(edge.url, '/strict')).toMatchObject({ label: 'MISS', body: 'new' })
  await soft.close()
  await edge.stop()
  await origin.stop()
})

test('a token that may not purge everything purges the key that every answer carries', async () => {
  const calls: [url: string, body: string][] = []
  const api = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      calls.push([request.url ?? '', body])
      response.writeHead(request.url?.endsWith('/purge_all') === true ? 403 : 200).end('{}')
    })
  })
  await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(api.address() as AddressInfo).port}/service/1`
  const provider = providerOf(url, 'purge_select')
  expect(await provider.purgeAll(new AbortController().signal)).toMatchObject({ kind: 'purged' })
  const keys = JSON.stringify({ surrogate_keys: [encodeSurrogateKey(EVERYTHING)] })
  expect(calls).toEqual([
    ['/service/1/purge_all', ''],
    ['/service/1/purge', keys],
  ])
  await provider.close()
  api.close()
})
