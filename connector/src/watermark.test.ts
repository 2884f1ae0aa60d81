import { clockOf, parseSnapshot, stampOf } from '@lockstep/schemas'
import type { Lsn } from '@lockstep/schemas'
import { describe, expect, test } from 'vitest'
import { Transaction, Transactions } from './transactions.ts'
import { Watermarks } from './watermark.ts'
import type { Candidate } from './watermark.ts'

const lsn = (value: number): Lsn => BigInt(value) as Lsn

function open() {
  const transactions = new Transactions(lsn(0))
  const emitted: string[] = []
  const watermarks = new Watermarks(transactions, ({ echo }) => emitted.push(echo))
  const receive = (xid: number, endLsn: number, pending = 1): Transaction => {
    const frame = { xid, commitLsn: lsn(endLsn - 1), commitTimeUs: 0n }
    const transaction = new Transaction(BigInt(xid), frame, (progressed) => {
      if (!progressed.isDone) return
      transactions.settle()
      watermarks.done()
    })
    transactions.begin(transaction)
    transaction.pending = pending
    transactions.commit(lsn(endLsn))
    watermarks.advanced()
    return transaction
  }
  const offer = (text: string, at: number, echo: string): void => {
    const snapshot = parseSnapshot(text)
    const candidate: Candidate = { snapshot, lsn: lsn(at), stamp: stampOf(1, clockOf(snapshot)), echo }
    watermarks.offer(candidate)
  }
  const keepalive = (at: number): void => {
    transactions.keepalive(lsn(at))
    watermarks.advanced()
  }
  return { watermarks, emitted, receive, offer, keepalive }
}

describe('connector/watermark', () => {
  test('on an idle stream that has reached the position a snapshot is a watermark at once', () => {
    const { emitted, offer, keepalive } = open()
    keepalive(100)
    offer('10:10:', 100, 'a')
    expect(emitted).toEqual(['a'])
  })

  test('it waits for the stream, as an unreceived commit may be visible in it', () => {
    const { watermarks, emitted, offer, keepalive } = open()
    offer('10:10:', 100, 'a')
    expect(watermarks.unreached).toBe(100n)
    keepalive(99)
    expect(emitted).toEqual([])
    keepalive(100)
    expect(emitted).toEqual(['a'])
  })

  test('it never passes before every change that it sees is acknowledged', () => {
    const { emitted, offer, receive } = open()
    const five = receive(5, 50, 2)
    const six = receive(6, 60)
    offer('10:10:', 60, 'a')
    five.acknowledged(1)
    six.acknowledged(1)
    expect(emitted).toEqual([])
    five.acknowledged(1)
    expect(emitted).toEqual(['a'])
  })

  test('a transaction that it does not see holds it back no longer than the stream', () => {
    const { emitted, offer, receive } = open()
    receive(5, 50)
    offer('5:10:5', 50, 'a')
    expect(emitted).toEqual(['a'])
  })

  test('a transaction received after the stream reached it is not waited for', () => {
    const { emitted, offer, receive } = open()
    const five = receive(5, 50)
    offer('6:6:', 50, 'a')
    receive(6, 60)
    five.acknowledged(1)
    expect(emitted).toEqual(['a'])
  })

  test('of several that may pass only the newest does', () => {
    const { emitted, offer, receive } = open()
    const five = receive(5, 50)
    offer('6:6:', 50, 'a')
    offer('6:7:6', 50, 'b')
    offer('6:8:6', 70, 'c')
    five.acknowledged(1)
    expect(emitted).toEqual(['b'])
  })
})
