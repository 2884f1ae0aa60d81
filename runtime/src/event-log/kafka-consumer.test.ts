import { EventEmitter } from 'node:events'
import { KafkaJSNonRetriableError, type Consumer } from 'kafkajs'
import { describe, expect, onTestFinished, test } from 'vitest'
import { waitFor } from '../testing/wait-for.ts'
import type { KafkaAdmin } from './kafka-admin.ts'
import { DEFAULT_TIMINGS, startConsumer } from './kafka-consumer.ts'

/** A consumer of kafkajs' that crashes when it is told to; `runs` counts how often one was begun. */
function startFake() {
  const opened: EventEmitter[] = []
  let runs = 0
  const open = (): Consumer => {
    const events = new EventEmitter()
    opened.push(events)
    const done = () => Promise.resolve()
    const fake = {
      events: { GROUP_JOIN: 'join', REBALANCING: 'rebalancing', CRASH: 'crash' },
      on: (name: string, listener: (event: object) => void) => events.on(name, listener),
      run: () => Promise.resolve(void (runs += 1)),
      connect: done,
      subscribe: done,
      disconnect: done,
    }
    return fake as unknown as Consumer
  }
  const crash = (error: Error) => opened.at(-1)?.emit('crash', { payload: { error, restart: false, groupId: 'n.g' } })
  return { open, crash, opened, runs: () => runs }
}

const coordinatorIsAway = () => {
  const cause = Object.assign(new Error('Failed to find group coordinator'), {
    name: 'KafkaJSGroupCoordinatorNotFound',
  })
  // As kafkajs hands it on.
  return Object.assign(new KafkaJSNonRetriableError(cause), { cause })
}

async function start() {
  const fake = startFake()
  const subscription = await startConsumer(
    {
      connection: { brokers: [], namespace: 'n', clientId: 'c' },
      admin: {} as KafkaAdmin,
      topic: 'n.t',
      logicalTopic: 't',
      group: 'n.g',
      partitions: 1,
      timings: DEFAULT_TIMINGS,
      open: fake.open,
    },
    () => Promise.resolve(),
  )
  onTestFinished(() => subscription.stop().catch(() => undefined))
  return { ...fake, subscription }
}

describe('runtime/kafka-consumer', () => {
  test('begins again when the brokers are away while the coordinator is looked for', async () => {
    const { crash, opened, runs, subscription } = await start()
    let hasEnded = false
    subscription.closed.finally(() => (hasEnded = true)).catch(() => undefined)
    for (const count of [2, 3]) {
      crash(coordinatorIsAway())
      await waitFor(() => runs() === count || hasEnded, 10_000)
    }
    expect({ hasEnded, opened: opened.length }).toEqual({ hasEnded: false, opened: 3 })
  })

  test('ends by what kafkajs cannot get over', async () => {
    const { crash, runs, subscription } = await start()
    crash(new KafkaJSNonRetriableError('not authorized'))
    await expect(subscription.closed).rejects.toMatchObject({ code: 'LOCKSTEP_LOG_CONSUMER' })
    expect(runs()).toBe(1)
  })
})
