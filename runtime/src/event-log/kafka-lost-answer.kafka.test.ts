import { randomUUID } from 'node:crypto'
import { connect, createServer, type AddressInfo, type Server } from 'node:net'
import { startKafka, type KafkaServer } from '@lockstep/servers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { waitFor } from '../testing/wait-for.ts'
import { createKafkaLog, ensureTopics } from './kafka.ts'

const DEADLINE_MS = 20_000

/** Stands before a broker; the answers that it is told to drop are lost together with their connection. */
class LossyProxy {
  target = 0
  toDrop = 0
  readonly #server: Server = createServer((client) => {
    const broker = connect(this.target, '127.0.0.1')
    const end = (): void => {
      client.destroy()
      broker.destroy()
    }
    for (const side of [client, broker]) side.on('error', end).on('close', end)
    client.on('data', (bytes) => broker.write(bytes))
    broker.on('data', (bytes) => {
      if (this.toDrop === 0) return client.write(bytes)
      this.toDrop -= 1
      return end()
    })
  })

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return (this.#server.address() as AddressInfo).port
  }

  close(): void {
    this.#server.close()
  }
}

describe('an answer of the broker that is lost', () => {
  const proxy = new LossyProxy()
  let server: KafkaServer
  let port: number
  beforeAll(async () => {
    port = await proxy.listen()
    // Clients learn this address from the broker, so that all of them go through the proxy.
    const settings = { 'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}` }
    server = await startKafka({ needs: 'process', settings })
    proxy.target = Number(server.brokers[0]?.split(':')[1])
  })
  afterAll(async () => {
    await server.stop()
    proxy.close()
  })

  test('is asked for again without a second copy of the records', { timeout: 60_000 }, async () => {
    const connection = { brokers: [`127.0.0.1:${port}`], namespace: `t${randomUUID()}`, clientId: 'lost' }
    await ensureTopics(connection, { t: 2 })
    const log = createKafkaLog(connection)
    const send = (from: number) =>
      log.produce(
        't',
        Array.from({ length: 10 }, (_none, index) => ({ key: `k${index}`, value: Buffer.from(String(from + index)) })),
      )
    await send(0)
    for (let round = 1; round <= 5; round++) {
      proxy.toDrop = 1
      await send(round * 10)
      expect(proxy.toDrop).toBe(0)
    }
    const seen: number[] = []
    await log.consume({ topic: 't', group: 'g' }, ({ records }) => {
      seen.push(...records.map(({ value }) => Number(value.toString())))
      return Promise.resolve()
    })
    await waitFor(() => new Set(seen).size === 60, DEADLINE_MS)
    expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 60 }, (_none, index) => index))
    await log.close()
  })
})
