import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { dockerHasImage } from './docker.ts'
import { ownLinks, type FaultyLink, type FaultyLinks } from './faulty-link.ts'
import { only } from './testing/config.ts'
import { startToxiproxy, TOXIPROXY_IMAGE } from './toxiproxy.ts'
import { pollUntil } from './wait.ts'

const LATENCY_MS = 100
const DEADLINE_MS = 5_000
const docker = only('docker')
const hasImage = await dockerHasImage(TOXIPROXY_IMAGE, docker.dockerHost)

interface Caller {
  readonly socket: Socket
  readonly chunks: Buffer[]
}

const textOf = ({ chunks }: Caller): string => Buffer.concat(chunks).toString()

function registerContract(start: () => Promise<FaultyLinks>): void {
  let links: FaultyLinks
  let echo: Server
  let link: FaultyLink
  const callers: Socket[] = []
  beforeAll(async () => {
    echo = createServer((socket) => void socket.on('error', () => undefined).pipe(socket)).listen(0, '127.0.0.1')
    await once(echo, 'listening')
    links = await start()
    link = await links.open()
    await link.leadTo((echo.address() as AddressInfo).port)
    // A container that starts beside other tests.
  }, 60_000)
  afterEach(async () => {
    for (const socket of callers.splice(0)) socket.destroy()
    await link.heal()
  })
  afterAll(async () => {
    await links.stop()
    echo.close()
  })

  async function call(): Promise<Caller> {
    const socket = connect({ port: link.port, host: '127.0.0.1', noDelay: true })
    socket.on('error', () => undefined)
    callers.push(socket)
    await once(socket, 'connect')
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    return { socket, chunks }
  }

  /** What comes back for what is sent, as much of it. */
  async function echoOf(caller: Caller, sent: string): Promise<string> {
    const from = textOf(caller).length
    caller.socket.write(sent)
    await pollUntil(() => textOf(caller).length - from >= sent.length, DEADLINE_MS)
    return textOf(caller).slice(from)
  }

  test('a link that suffers from nothing leads to the server and back', async () => {
    expect(await echoOf(await call(), 'hello')).toBe('hello')
  })

  test('latency delays each direction, in order', async () => {
    const caller = await call()
    await link.suffer({ type: 'latency', latencyMs: LATENCY_MS })
    const begin = performance.now()
    for (let word = 0; word < 5; word++) caller.socket.write(`${word} `)
    expect(await pollUntil(() => textOf(caller).length === 10, DEADLINE_MS)).toBe(true)
    expect(performance.now() - begin).toBeGreaterThan(2 * LATENCY_MS - 5)
    expect(textOf(caller)).toBe('0 1 2 3 4 ')
  })

  test('timeout tells nobody anything, and ends what it has swallowed when it is healed', async () => {
    const caller = await call()
    await echoOf(caller, 'before')
    await link.suffer({ type: 'timeout' })
    caller.socket.write('lost')
    const other = await call()
    other.socket.write('lost as well')
    expect(await pollUntil(() => other.chunks.length > 0 || textOf(caller) !== 'before', 3 * LATENCY_MS)).toBe(false)
    expect(caller.socket.closed).toBe(false)
    await link.heal()
    expect(await pollUntil(() => caller.socket.closed && other.socket.closed, DEADLINE_MS)).toBe(true)
    expect(textOf(caller) + textOf(other)).toBe('before')
    expect(await echoOf(await call(), 'after')).toBe('after')
  })

  test('reset_peer ends old connections, and resets new ones by their first bytes', async () => {
    const old = await call()
    await echoOf(old, 'before')
    await link.suffer({ type: 'reset_peer' })
    expect(await pollUntil(() => old.socket.closed, DEADLINE_MS)).toBe(true)
    const { socket } = await call()
    const failure = new Promise((resolve) => socket.once('error', resolve))
    socket.write('any')
    expect(await failure).toMatchObject({ code: 'ECONNRESET' })
  })

  test('slicer changes nothing but the size of the chunks', async () => {
    const caller = await call()
    await link.suffer({ type: 'slicer', sliceBytes: 16 })
    const sent = 'x'.repeat(4_096)
    expect(await echoOf(caller, sent)).toBe(sent)
    expect(caller.chunks.length).toBeGreaterThan(1)
  })
}

describe('servers/faulty-link: our own', () => {
  registerContract(() => Promise.resolve(ownLinks()))
})

describe.skipIf(!hasImage)('servers/faulty-link: a Toxiproxy container', () => {
  registerContract(async () => {
    const links = await startToxiproxy(docker)
    if (!links) throw new Error('Toxiproxy does not run')
    return links
  })
})
