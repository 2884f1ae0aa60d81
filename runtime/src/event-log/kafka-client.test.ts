import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { describe, expect, test, vi } from 'vitest'
import { createClient } from './kafka-client.ts'
import { createKafkaLog, ensureTopics } from './kafka.ts'

/** A port that nobody listens on. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

describe('a log whose brokers do not answer', () => {
  test('says which brokers and what to check, within 10 s', { timeout: 30_000 }, async () => {
    const brokers = [`127.0.0.1:${await closedPort()}`]
    const connection = { brokers, namespace: 'n', clientId: 'c' }
    const started = performance.now()
    const expected = { code: 'LOCKSTEP_LOG_UNREACHABLE', disposition: 'transient' }
    await expect(ensureTopics(connection, { t: 1 })).rejects.toMatchObject(expected)
    await expect(ensureTopics(connection, { t: 1 })).rejects.toThrow(
      `${brokers[0]} answers. Check the addresses (LOCKSTEP_KAFKA_BROKERS)`,
    )
    const log = createKafkaLog(connection)
    const record = { key: null, value: Buffer.alloc(1) }
    const consumed = log.consume({ topic: 't', group: 'g' }, () => Promise.resolve())
    await expect(Promise.all([consumed, log.produce('t', [record])])).rejects.toMatchObject(expected)
    await log.close()
    expect(performance.now() - started).toBeLessThan(30_000)
  })
})

interface RequestQueue {
  checkPendingRequests(): void
  maybeThrottle(ms: number): void
  push(request: { entry: { correlationId: number; resolve: () => void }; sendRequest: () => void }): void
}

const RequestQueue = createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as new (
  options: object,
) => RequestQueue

describe('a connection of kafkajs', () => {
  test('wakes the process only while requests wait, and sends what a throttle held back', () => {
    vi.useFakeTimers()
    try {
      createClient({ brokers: ['127.0.0.1:1'], namespace: 'n', clientId: 'c' }, 0)
      const logger = { debug: () => undefined }
      const queue = new RequestQueue({ requestTimeout: 1_000, logger, isConnected: () => true })
      queue.checkPendingRequests()
      expect(vi.getTimerCount()).toBe(0)
      let sent = 0
      queue.maybeThrottle(50)
      queue.push({ entry: { correlationId: 1, resolve: () => undefined }, sendRequest: () => (sent += 1) })
      expect(sent).toBe(0)
      vi.advanceTimersByTime(60)
      expect(sent).toBe(1)
      expect(vi.getTimerCount()).toBe(0)
    } finally {
      vi.useRealTimers()
    }
  })
})
