import type { LogRecord } from '@lockstep/runtime'
import { FakeTime, settle } from '@lockstep/runtime/testing'
import { describe, expect, test } from 'vitest'
import { Publisher } from './publisher.ts'

const record = (key: string): LogRecord => ({ key, value: Buffer.from(key) })

function open() {
  const time = new FakeTime()
  const calls: { keys: string[]; resolve: () => void; reject: (error: Error) => void }[] = []
  const bytes: number[] = []
  const publisher = new Publisher({
    log: {
      produce: (_topic, records) =>
        new Promise((resolve, reject) => calls.push({ keys: records.map(({ key }) => String(key)), resolve, reject })),
    },
    time,
    random: () => 0.5,
    events: { produced: () => undefined, rejected: () => undefined },
    onBytes: (count) => bytes.push(count),
  })
  const acked: number[] = []
  const ticket = { acknowledged: (records: number) => acked.push(records) }
  return { time, calls, bytes, publisher, acked, ticket }
}

describe('connector/publisher', () => {
  test('what one turn of the event loop brings goes out in one call, in order', async () => {
    const { publisher, ticket, calls } = open()
    for (const key of ['a', 'b', 'c']) publisher.add('changes', record(key), ticket)
    expect(calls).toEqual([])
    await settle()
    expect(calls.map(({ keys }) => keys)).toEqual([['a', 'b', 'c']])
  })

  test('calls do not wait for one another', async () => {
    const { publisher, ticket, calls } = open()
    publisher.add('changes', record('a'), ticket)
    await settle()
    publisher.add('changes', record('b'), ticket)
    await settle()
    expect(calls).toHaveLength(2)
  })

  test('a rejected call is repeated with the same records, and only then counts as acknowledged', async () => {
    const { publisher, ticket, calls, acked, time, bytes } = open()
    publisher.add('changes', record('a'), ticket)
    publisher.add('changes', record('b'), ticket)
    await settle()
    calls[0]?.reject(new Error('no leader'))
    await time.advance(100)
    expect(calls.map(({ keys }) => keys)).toEqual([
      ['a', 'b'],
      ['a', 'b'],
    ])
    expect(acked).toEqual([])
    calls[1]?.resolve()
    await settle()
    expect(acked).toEqual([2])
    expect(bytes.at(-1)).toBe(0)
  })

  test('after a rejection all that is not acknowledged goes again in its first order, and what came meanwhile behind it', async () => {
    const { publisher, ticket, calls, acked, time } = open()
    for (const key of ['a', 'b', 'c']) {
      publisher.add('changes', record(key), ticket)
      await settle()
    }
    calls[0]?.resolve()
    calls[1]?.reject(new Error('no leader'))
    await settle()
    publisher.add('changes', record('d'), ticket)
    await time.advance(10_000)
    // While the third call is on its way nothing may pass it.
    expect(calls).toHaveLength(3)
    calls[2]?.reject(new Error('no leader'))
    await time.advance(100)
    expect(calls.slice(3).map(({ keys }) => keys)).toEqual([['b'], ['c'], ['d']])
    calls[4]?.reject(new Error('no leader'))
    calls[3]?.resolve()
    calls[5]?.resolve()
    await time.advance(10_000)
    expect(calls.slice(6).map(({ keys }) => keys)).toEqual([['c']])
    calls[6]?.resolve()
    await settle()
    expect(acked).toEqual([1, 1, 1, 1])
  })

  test('settled waits for calls in flight and for what has not been sent yet', async () => {
    const { publisher, ticket, calls } = open()
    publisher.add('changes', record('a'), ticket)
    let isSettled = false
    const settled = publisher.settled().then(() => (isSettled = true))
    await settle()
    expect(isSettled).toBe(false)
    calls[0]?.resolve()
    await settled
    expect(isSettled).toBe(true)
  })

  test('abandoned records are never acknowledged nor sent again, and later ones are', async () => {
    const { publisher, ticket, calls, acked, time } = open()
    publisher.add('changes', record('a'), ticket)
    await settle()
    const abandoned = publisher.abandon()
    calls[0]?.reject(new Error('no leader'))
    await abandoned
    await time.advance(10_000)
    expect(calls).toHaveLength(1)
    expect(acked).toEqual([])
    publisher.add('changes', record('b'), ticket)
    await settle()
    calls[1]?.resolve()
    await settle()
    expect(acked).toEqual([1])
  })
})
