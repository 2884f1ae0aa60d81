import type { Lsn } from '@lockstep/schemas'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Transaction, Transactions } from './transactions.ts'
import { tableRow } from './row.ts'

const lsn = (value: number): Lsn => BigInt(value) as Lsn
const rowOf = (table: string) => tableRow('insert', table)

function open() {
  const transactions = new Transactions(lsn(0))
  const add = (xid: number, endLsn: number, pending: number): Transaction => {
    const frame = { xid, commitLsn: lsn(endLsn - 1), commitTimeUs: 0n }
    const transaction = new Transaction(BigInt(xid), frame, () => transactions.settle())
    transactions.begin(transaction)
    transaction.pending = pending
    transactions.commit(lsn(endLsn))
    return transaction
  }
  return { transactions, add }
}

describe('connector/transactions', () => {
  test('only the contiguous prefix that is done may be acknowledged, exactly to its end', () => {
    const { transactions, add } = open()
    const [a, b] = [add(1, 10, 1), add(2, 20, 1)]
    add(3, 30, 0)
    b.acknowledged(1)
    expect(transactions.confirmed).toBe(0n)
    a.acknowledged(1)
    expect(transactions.confirmed).toBe(30n)
    expect(transactions.outstanding).toBe(0)
  })

  test('a keepalive counts as acknowledged only when nothing is outstanding', () => {
    const { transactions, add } = open()
    const a = add(1, 10, 1)
    transactions.keepalive(lsn(50))
    expect(transactions.confirmed).toBe(0n)
    expect(transactions.received).toBe(50n)
    a.acknowledged(1)
    expect(transactions.confirmed).toBe(10n)
    transactions.keepalive(lsn(60))
    expect(transactions.confirmed).toBe(60n)
  })

  test('a keepalive inside a transaction is never acknowledged', () => {
    const { transactions } = open()
    transactions.begin(new Transaction(1n, { xid: 1, commitLsn: lsn(9), commitTimeUs: 0n }, () => undefined))
    transactions.keepalive(lsn(5))
    expect(transactions.confirmed).toBe(0n)
  })

  test('a transaction held at the gate is not done, whatever has been acknowledged', () => {
    const { transactions, add } = open()
    const frame = { xid: 1, commitLsn: lsn(9), commitTimeUs: 0n }
    const held = new Transaction(1n, frame, () => undefined)
    transactions.begin(held)
    held.held = [rowOf('t')]
    transactions.commit(lsn(10))
    add(2, 20, 0)
    expect(transactions.confirmed).toBe(0n)
  })

  test('in any order of acknowledgements the position never passes a transaction that is not done', () => {
    const scripts = fc.array(fc.record({ pending: fc.nat(3), keepalive: fc.boolean() }), { maxLength: 30, size: 'max' })
    fc.assert(
      fc.property(scripts, fc.infiniteStream(fc.nat()), (script, choices) => {
        const { transactions, add } = open()
        const all = script.map(({ pending, keepalive }, index) => {
          const transaction = add(index + 1, (index + 1) * 10, pending)
          if (keepalive) transactions.keepalive(lsn((index + 1) * 10 + 5))
          return transaction
        })
        for (;;) {
          const left = all.filter(({ isDone }) => !isDone)
          const first = left[0]
          if (first === undefined) break
          expect(transactions.confirmed < (first.endLsn ?? 0n)).toBe(true)
          left[(choices.next().value ?? 0) % left.length]?.acknowledged(1)
        }
        expect(transactions.confirmed >= lsn(all.length * 10)).toBe(true)
      }),
    )
  })

  test('more rows of a table than the bound become one bulk change, other tables go on', () => {
    const transaction = new Transaction(1n, { xid: 1, commitLsn: lsn(1), commitTimeUs: 0n }, () => undefined)
    const ops = ['t', 't', 't', 't', 'u'].map((table) => transaction.number(rowOf(table), 2)?.op ?? null)
    expect(ops).toEqual(['insert', 'insert', 'bulk', null, 'insert'])
    expect(transaction.rows).toBe(5)
  })
})
