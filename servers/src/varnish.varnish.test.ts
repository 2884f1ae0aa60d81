import { existsSync } from 'node:fs'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { dockerHasImage } from './docker.ts'
import { childrenOf, isRunning } from './processes.ts'
import { startVarnish, type VarnishServer } from './varnish.ts'
import { only } from './testing/config.ts'

const VCL = `vcl 4.1;
import xkey;
import std;
backend default { .host = "127.0.0.1"; .port = "@BACKEND_PORT@"; }
sub vcl_recv {
  if (req.method == "PURGEKEYS") {
    if (req.http.X-Purge-Token != std.getenv("PURGE_TOKEN")) { return (synth(401)); }
    set req.http.n = xkey.purge(req.http.X-Purge-Keys);
    return (synth(200, req.http.n));
  }
}
sub vcl_backend_response { set beresp.http.xkey = beresp.http.Surrogate-Key; set beresp.ttl = 60s; }
`

let origin: Server
let hits = 0
beforeAll(async () => {
  origin = createServer((_request, reply) => {
    hits += 1
    // As long as a page with 1,400 tags has it.
    const keys = Array.from({ length: 1400 }, (_unused, index) => `product:${index.toString().padStart(30, '0')}`)
    reply.setHeader('Surrogate-Key', keys.join(' '))
    reply.end(`${hits}`)
  })
  await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve))
})
afterAll(() => origin.close())

const local = only('binary', 'package')
const docker = only('docker')
const hasImage = await dockerHasImage('varnish:7.7', docker.dockerHost)
const options = () => ({
  vcl: VCL,
  backendPort: (origin.address() as AddressInfo).port,
  env: { PURGE_TOKEN: 'secret' },
})

function call(to: { port: number } | { socketPath: string }, method = 'GET', headers: Record<string, string> = {}) {
  return new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
    // The 57 kB header comes back to the client too, above Node's 16 kB.
    const asking = request({ ...to, method, headers, agent: false, maxHeaderSize: 256 * 1024 }, (reply) => {
      let body = ''
      reply.on('data', (chunk: Buffer) => (body += chunk.toString()))
      reply.on('end', () => resolve({ status: reply.statusCode, body }))
    })
    asking.on('error', reject)
    asking.end()
  })
}

/** Lists what each request of a cache's life was answered with: bodies are the origin's count of requests. */
async function lifeOf(varnish: VarnishServer): Promise<unknown[]> {
  const first = Number((await call(varnish)).body)
  const since = async () => Number((await call(varnish)).body) - first
  const keys = { 'X-Purge-Keys': `product:${'1399'.padStart(30, '0')}` }
  const purge = async (headers: Record<string, string>) => (await call(varnish, 'PURGEKEYS', headers)).status
  return [
    await since(),
    await purge(keys),
    await since(),
    await purge({ ...keys, 'X-Purge-Token': 'secret' }),
    await since(),
  ]
}
const LIFE = [0, 401, 0, 200, 1]

describe('servers/varnish', () => {
  test('the project provides the path of varnishd', () => {
    expect(existsSync(inject('varnishBinary'))).toBe(true)
  })

  test('it caches a response with 57 kB of keys and purges it by the last of them, with the token only', async () => {
    const varnish = await startVarnish({ ...options(), needs: 'process' }, local)
    expect(await lifeOf(varnish)).toEqual(LIFE)
    await varnish.stop()
  })

  test('a killed Varnish comes back on the same port, its cache empty', async () => {
    const varnish = await startVarnish({ ...options(), needs: 'process' }, local)
    const processes = [varnish.pid, ...childrenOf(varnish.pid)]
    expect(processes.length).toBeGreaterThan(1)
    const first = await call(varnish)
    await varnish.kill9()
    expect(processes.filter(isRunning)).toEqual([])
    // Threads of its end behind it, and with the last one its socket.
    await vi.waitFor(() => expect(call(varnish)).rejects.toThrow(/ECONNREFUSED/))
    await varnish.restart()
    expect((await call(varnish)).body).not.toBe(first.body)
    await varnish.stop()
  })

  test('it listens on a socket file, and stop leaves no process and no directory', async () => {
    const varnish = await startVarnish({ ...options(), socket: true }, local)
    const socketPath = varnish.socketPath ?? ''
    expect((await call({ socketPath })).status).toBe(200)
    const processes = [varnish.pid, ...childrenOf(varnish.pid)]
    await varnish.stop()
    expect(processes.filter(isRunning)).toEqual([])
    expect(existsSync(dirname(socketPath))).toBe(false)
  })

  test("a fault in the VCL is an error with the compiler's words", async () => {
    await expect(startVarnish({ vcl: 'vcl 4.1; nonsense' }, local)).rejects.toThrow(/Expected one of|nonsense/)
  })

  test.skipIf(!hasImage)('a container caches and purges, is restarted and removed like a process', async () => {
    const varnish = await startVarnish(options(), docker)
    expect(varnish.source).toBe('docker')
    expect(await lifeOf(varnish)).toEqual(LIFE)
    await varnish.kill9()
    await varnish.restart()
    expect((await call(varnish)).status).toBe(200)
    await varnish.stop()
    await expect(call(varnish)).rejects.toThrow(/ECONNREFUSED/)
  })
})
