import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { waitFor } from '../testing/wait-for.ts'
import { ProduceClient } from './produce-client.ts'
import { RecordBatch } from './record-batch.ts'

/** Takes connections and never says a word, so that no TLS handshake comes to an end. */
async function startSilent() {
  const sockets: Socket[] = []
  const server = createServer((socket) => void sockets.push(socket.on('error', () => undefined))).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, sockets, server }
}

/** Refuses a producer id, whatever it is asked: no coordinator yet (14). */
async function startRefusing() {
  const { address, sockets, server } = await startSilent()
  const answer = Buffer.alloc(4 + 4 + 4 + 2 + 8 + 2)
  answer.writeInt32BE(answer.length - 4, 0)
  answer.writeInt16BE(14, 12)
  server.on('connection', (socket: Socket) => socket.on('data', () => socket.write(answer)))
  return { address, sockets }
}

describe('runtime/produce-client', () => {
  test('a broker that has no producer id to give is not asked again before the others', async () => {
    const [first, other] = [await startRefusing(), await startRefusing()]
    const brokers = [first.address, other.address]
    const client = new ProduceClient({ brokers, namespace: 'n', clientId: 'c' })
    let hasFailed = false
    client.send([{ topic: 't', partition: 0, batch: new RecordBatch() }]).catch(() => (hasFailed = true))
    await waitFor(() => other.sockets.length > 0 || hasFailed, 10_000)
    expect(hasFailed).toBe(false)
    client.close()
  })

  test('a broker that answers nothing holds up the others for a second, not for the contract', async () => {
    const [gone, other] = [await startSilent(), await startSilent()]
    const brokers = [gone.address, other.address]
    const client = new ProduceClient({ brokers, namespace: 'n', clientId: 'c', ssl: { servername: 'broker' } })
    const begin = performance.now()
    client.send([{ topic: 't', partition: 0, batch: new RecordBatch() }]).catch(() => undefined)
    await waitFor(() => other.sockets.length > 0, 10_000)
    expect(performance.now() - begin).toBeLessThan(3_000)
    expect(gone.sockets).toHaveLength(1)
    client.close()
  })

  test('what one broker that is gone has cost makes no other cost more', async () => {
    const all = [await startSilent(), await startSilent(), await startSilent()]
    const brokers = all.map(({ address }) => address)
    const timers = vi.spyOn(globalThis, 'setTimeout')
    onTestFinished(() => timers.mockRestore())
    const client = new ProduceClient({ brokers, namespace: 'n', clientId: 'c', ssl: { servername: 'broker' } })
    client.send([{ topic: 't', partition: 0, batch: new RecordBatch() }]).catch(() => undefined)
    await waitFor(() => all.every(({ sockets }) => sockets.length > 0), 10_000)
    client.close()
    const waits = timers.mock.calls.map(([, ms]) => ms ?? 0).filter((ms) => ms >= 1_000)
    expect(waits).toEqual([1_000, 1_000, 1_000])
  })
})
