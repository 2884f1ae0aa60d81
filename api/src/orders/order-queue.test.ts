import { FakeTime, settle } from '@lockstep/runtime/testing'
import { silentLogger, type LogRecord } from '@lockstep/runtime'
import { decodeEvent, type DeadLetter } from '@lockstep/schemas'
import { beforeEach, describe, expect, test } from 'vitest'
import { fail } from '../errors.ts'
import { logBatch } from '../testing/log-batch.ts'
import { MAX_ATTEMPTS, OrderQueue, RETRY } from './order-queue.ts'
import type { Order } from './orders.ts'

const idOf = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const confirmed = (id: string): Order => ({ id, state: 'confirmed', reason: null, lines: [] })

describe('api/order-queue', () => {
  let time: FakeTime
  let random: number
  let letters: DeadLetter[]
  let attempts: { id: string; atMs: number }[]
  let outcomes: string[]
  let givenUp: string[]
  let decide: (id: string, attempt: number) => Order | null

  beforeEach(() => {
    time = new FakeTime()
    random = 0.5
    letters = []
    attempts = []
    outcomes = []
    givenUp = []
    decide = confirmed
  })

  const queue = () =>
    new OrderQueue({
      desk: {
        decide: (id) => {
          attempts.push({ id, atMs: time.nowMs() })
          const count = attempts.filter((attempt) => attempt.id === id).length
          return Promise.resolve().then(() => decide(id, count))
        },
        giveUp: (id) => Promise.resolve(void givenUp.push(id)),
      },
      log: {
        produce: (_topic: string, records: readonly LogRecord[]) =>
          Promise.resolve(void letters.push(...records.map(({ value }) => decodeEvent(value) as DeadLetter))),
      },
      time,
      random: () => random,
      decided: (outcome) => outcomes.push(outcome),
      retried: () => undefined,
      buried: () => undefined,
      logger: silentLogger,
    })

  /** Handles a batch to its end, letting as much time pass as that takes. */
  async function handle(batch: ReturnType<typeof logBatch>): Promise<void> {
    let isDone = false
    const handling = queue()
      .handle(batch, new AbortController().signal)
      .finally(() => (isDone = true))
    for (let turn = 0; turn < 100 && !isDone; turn++) await time.advance(RETRY.maxMs / 10)
    await handling
  }

  test('orders are decided in the order of the log, and the batch counts after the last', async () => {
    const batch = logBatch([idOf(1), idOf(2), idOf(3)])
    await handle(batch)
    expect(attempts.map(({ id }) => id)).toEqual([idOf(1), idOf(2), idOf(3)])
    expect(batch.outcome.committed).toBe(true)
  })

  test('an order that fails is tried again after pauses drawn below 100, 200, 400 and 800 ms', async () => {
    decide = (id, attempt) => {
      if (attempt < MAX_ATTEMPTS) throw fail('LOCKSTEP_API_CONTENDED')
      return confirmed(id)
    }
    await handle(logBatch([idOf(1)]))
    const pauses = attempts.slice(1).map(({ atMs }, index) => atMs - (attempts[index]?.atMs ?? 0))
    expect(pauses).toEqual([50, 100, 200, 400])
    expect(outcomes).toEqual(['confirmed'])
    attempts = []
    random = 0
    await handle(logBatch([idOf(1)]))
    expect(attempts.every(({ atMs }) => atMs === attempts[0]?.atMs)).toBe(true)
  })

  test('an order that goes on failing is marked and put aside with its reason, and the next one is decided', async () => {
    decide = (id) => {
      if (id === idOf(1)) throw new Error('the stock is a mystery')
      return confirmed(id)
    }
    const batch = logBatch([idOf(1), idOf(2)], { from: 7n })
    await handle(batch)
    expect(attempts.filter(({ id }) => id === idOf(1))).toHaveLength(MAX_ATTEMPTS)
    expect(givenUp).toEqual([idOf(1)])
    expect(outcomes).toEqual(['failed', 'confirmed'])
    expect(letters).toMatchObject([
      { code: 'LOCKSTEP_API_ORDER_FAILED', message: 'the stock is a mystery', topic: 'shop-orders', offset: 7n },
    ])
    expect(letters[0]?.payload.toString()).toBe(idOf(1))
    expect(batch.outcome.committed).toBe(true)
  })

  test('a database that is away is waited for however long: nothing is put aside', async () => {
    decide = (id, attempt) => {
      if (attempt <= 20) throw fail('LOCKSTEP_API_DATABASE_UNREACHABLE')
      return confirmed(id)
    }
    const batch = logBatch([idOf(1)])
    await handle(batch)
    expect(attempts).toHaveLength(21)
    expect(letters).toEqual([])
    expect(outcomes).toEqual(['confirmed'])
  })

  test('what is no order, or none that exists, is put aside at once', async () => {
    decide = () => null
    await handle(logBatch(['nonsense', idOf(404)]))
    expect(letters.map(({ code }) => code)).toEqual(['LOCKSTEP_API_ORDER_UNREADABLE', 'LOCKSTEP_API_UNKNOWN_ORDER'])
    expect(attempts).toHaveLength(1)
  })

  test('a stop during a pause leaves the batch uncommitted, so that another worker gets it', async () => {
    decide = () => {
      throw fail('LOCKSTEP_API_CONTENDED')
    }
    const stop = new AbortController()
    const batch = logBatch([idOf(1)])
    const handling = queue().handle(batch, stop.signal)
    await settle()
    stop.abort(new Error('stopping'))
    await expect(handling).rejects.toThrow('stopping')
    expect(batch.outcome.committed).toBe(false)
  })
})
