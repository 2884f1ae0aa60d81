import { FakeTime } from '@lockstep/runtime/testing'
import type { LogRecord } from '@lockstep/runtime'
import { decodeEvent, type DeadLetter } from '@lockstep/schemas'
import { beforeEach, describe, expect, test } from 'vitest'
import { logBatch } from '../testing/log-batch.ts'
import { ViewCounters, type ViewBatch } from './view-counters.ts'
import { productOfView } from './views.ts'

describe('api/view-counters', () => {
  let time: FakeTime
  let added: ViewBatch[]
  let letters: DeadLetter[]
  let failures: number
  let order: string[]

  beforeEach(() => {
    time = new FakeTime()
    added = []
    letters = []
    failures = 0
    order = []
  })

  const counters = () =>
    new ViewCounters({
      store: {
        known: (ids) => Promise.resolve(new Set(ids.filter((id) => id < 100))),
        add: (batch) => {
          if (failures-- > 0) return Promise.reject(new Error('the database is away'))
          order.push('added')
          added.push(batch)
          return Promise.resolve(batch.views.length)
        },
      },
      log: {
        produce: (_topic, records: readonly LogRecord[]) => {
          order.push('buried')
          letters.push(...records.map(({ value }) => decodeEvent(value) as DeadLetter))
          return Promise.resolve()
        },
      },
      time,
      random: () => 0.5,
      counted: () => undefined,
      buried: () => undefined,
      failed: () => undefined,
    })

  test('a batch is added with its offsets, and poison is put aside before anything counts as done', async () => {
    const batch = logBatch(['1', 'x', '2', '404', '1'], { topic: 'shop-views', partition: 1, from: 10n })
    await counters().handle(batch, new AbortController().signal)
    expect(added).toEqual([
      {
        partition: 1,
        next: 15n,
        views: [
          { offset: 10n, productId: 1 },
          { offset: 12n, productId: 2 },
          { offset: 14n, productId: 1 },
        ],
      },
    ])
    expect(letters.map(({ code, offset }) => [code, offset])).toEqual([
      ['LOCKSTEP_API_VIEW_UNREADABLE', 11n],
      ['LOCKSTEP_API_UNKNOWN_PRODUCT', 13n],
    ])
    expect(order).toEqual(['buried', 'added'])
    expect(batch.outcome.committed).toBe(true)
  })

  test('a database that is away is waited for, and the batch counts only after it', async () => {
    failures = 10
    const batch = logBatch(['1'])
    const handling = counters().handle(batch, new AbortController().signal)
    await time.advance(100)
    expect(batch.outcome.committed).toBe(false)
    await time.advance(60_000)
    await handling
    expect(added).toHaveLength(1)
    expect(batch.outcome.committed).toBe(true)
  })

  test('only what was accepted as a view is one', () => {
    expect(productOfView(Buffer.from('42'))).toBe(42)
    for (const text of ['', '0', '-1', '01', '1.5', '1e3', ' 1', '99999999999999999999'])
      expect(productOfView(Buffer.from(text))).toBeNull()
  })
})
