import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { dockerHasImage } from './docker.ts'

let daemon: Server | undefined
afterEach(() => {
  daemon?.closeAllConnections()
  daemon?.close()
})

async function listen(answer: RequestListener): Promise<string> {
  const server = createServer(answer)
  daemon = server
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`
}

describe('servers/docker', () => {
  test('an image counts only when the daemon has it', async () => {
    const host = await listen((request, reply) => {
      reply.statusCode = request.url === '/images/redis%3A8.0/json' ? 200 : 404
      reply.end('{}')
    })
    expect(await dockerHasImage('redis:8.0', host)).toBe(true)
    expect(await dockerHasImage('postgres:18', host)).toBe(false)
  })

  test('a daemon that takes the question and never answers counts as none', async () => {
    const host = await listen(() => {})
    expect(await dockerHasImage('redis:8.0', host, 30)).toBe(false)
  })

  test('no daemon is no image', async () => {
    expect(await dockerHasImage('redis:8.0', 'unix:///nonexistent.sock')).toBe(false)
    expect(await dockerHasImage('redis:8.0', 'ssh://somewhere')).toBe(false)
  })
})
