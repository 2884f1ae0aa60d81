import { createServer } from 'node:net'
import { runInThisContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
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

  test('only the negative-timer warning that comes from kafkajs is dropped', async () => {
    createClient({ brokers: ['127.0.0.1:1'], namespace: 'n', clientId: 'c' }, 0)
    const seen: string[] = []
    const listener = (warning: Error) => void seen.push(`${warning.name} ${warning.message}`)
    process.on('warning', listener)
    const filename = '/app/node_modules/kafkajs/src/network/requestQueue/index.js'
    const theirs = runInThisContext('(emit, name) => emit("theirs", name)', { filename }) as (
      emit: (...args: [string, string]) => void,
      name: string,
    ) => void
    const emit = (message: string, name: string) => process.emitWarning(message, name)
    theirs(emit, 'TimeoutNegativeWarning')
    theirs(emit, 'SomethingElse')
    emit('ours', 'TimeoutNegativeWarning')
    await new Promise((resolve) => setImmediate(resolve))
    process.off('warning', listener)
    expect(seen).toEqual(['SomethingElse theirs', 'TimeoutNegativeWarning ours'])
  })
})
