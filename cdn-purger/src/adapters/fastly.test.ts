import { expect, test } from 'vitest'
import { startMiniEdge } from '../edge/mini-edge.ts'
import { registerProviderContract } from '../testing/provider-contract.ts'
import { readEdge, startTestOrigin } from '../testing/test-origin.ts'
import { createFastlyProvider } from './fastly.ts'

const shared = { name: 'fastly', connections: 2, timeoutMs: 2_000, wallMs: () => Date.now() }

registerProviderContract('the Fastly adapter on the mini edge', async () => {
  const origin = await startTestOrigin()
  const edge = await startMiniEdge({ originUrl: origin.url, token: 'right' })
  const provider = createFastlyProvider({ ...shared, url: edge.purgeUrl, token: 'right' })
  const denied = createFastlyProvider({ ...shared, url: edge.purgeUrl, token: 'wrong' })
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
  const soft = createFastlyProvider({ ...shared, url: edge.purgeUrl, token: 'right', soft: true })
  origin.set('/strict', { body: 'old', tags: ['a'] })
  await readEdge(edge.url, '/strict')
  origin.set('/strict', { body: 'new', tags: ['a'] })
  await soft.purge(['a'], new AbortController().signal)
  expect(await readEdge(edge.url, '/strict')).toMatchObject({ label: 'MISS', body: 'new' })
  await soft.close()
  await edge.stop()
  await origin.stop()
})
