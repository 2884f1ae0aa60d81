import { describe, expect, test } from 'vitest'
import { childrenOf, isRunning } from './processes.ts'
import { ServerProcess } from './server-process.ts'
import { freePort } from './free-port.ts'
import { accepts, pollUntil } from './wait.ts'

const shell = (script: string): ServerProcess =>
  new ServerProcess({ name: 'shell', file: 'sh', args: ['-c', script], cwd: '/', reapSignal: 'KILL' })

describe('servers/server-process', () => {
  test('a server that ends while it starts fails with its last words', async () => {
    const server = shell('echo the port is taken >&2; exit 3')
    await expect(server.ready(() => false)).rejects.toMatchObject({
      code: 'LOCKSTEP_SRV_START',
      message: expect.stringMatching(/ended while it started[^]*the port is taken[^]*code 3/) as string,
    })
  })

  test('a program that is missing fails with its name', async () => {
    const server = new ServerProcess({ name: 'x', file: '/nonexistent', args: [], cwd: '/', reapSignal: 'KILL' })
    await expect(server.ready(() => false)).rejects.toThrow(/could not be run[^]*nonexistent/)
  })

  test('kill9 ends the children too, before it resolves', async () => {
    const server = shell('sleep 300 & sleep 300 & wait')
    expect(await pollUntil(() => childrenOf(server.pid).length === 2, 5000)).toBe(true)
    const children = childrenOf(server.pid)
    await server.kill9()
    expect([server.pid, ...children].filter(isRunning)).toEqual([])
    await server.kill9()
  })

  test('an orderly end is waited for', async () => {
    const server = shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done")
    await server.ready(() => server.log.includes('up'))
    await server.end('SIGTERM')
    expect(server.isRunning).toBe(false)
    expect(await pollUntil(() => server.log.includes('bye'), 2000)).toBe(true)
  })

  test('a free port is one that nothing listens on', async () => {
    const ports = await Promise.all(Array.from({ length: 8 }, freePort))
    expect(await Promise.all(ports.map((port) => accepts(port)))).not.toContain(true)
  })
})
