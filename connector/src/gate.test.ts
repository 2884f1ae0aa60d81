import { clockOf, parseSnapshot } from '@lockstep/schemas'
import type { Clock, Lsn } from '@lockstep/schemas'
import { describe, expect, test } from 'vitest'
import { Gate } from './gate.ts'
import type { GateOptions } from './gate.ts'
import { tableRow } from './row.ts'
import type { Row } from './row.ts'
import { Transaction } from './transactions.ts'

const frame = { xid: 0, commitLsn: 0n as Lsn, commitTimeUs: 0n }
const row = (index: number, table = 'public.t'): Row => tableRow('insert', table, index)

function open(first: string, options: Partial<GateOptions> = {}) {
  const released: [bigint, string, number, Clock][] = []
  const counts = { passed: 0, late: 0, collapsed: 0 }
  const gate = new Gate(parseSnapshot(first), {
    release: (transaction, { op, index }, clock) => released.push([transaction.xid, op, index, clock]),
    events: { passed: () => counts.passed++, late: () => counts.late++, collapsed: () => counts.collapsed++ },
    nowMs: () => 0,
    maxHeldRows: 10,
    maxHeldBytes: 1_000,
    ...options,
  })
  const arrive = (xid: bigint, rows = 1): Transaction => {
    const transaction = new Transaction(xid, frame, () => undefined)
    gate.begin(transaction)
    for (let index = 0; index < rows; index++) gate.row(transaction, row(index))
    return transaction
  }
  const answer = (snapshot: string): number => gate.apply(parseSnapshot(snapshot), gate.asking())
  return { gate, released, counts, arrive, answer, order: () => released.map(([xid]) => xid) }
}

describe('connector/gate', () => {
  test('a transaction that the held snapshot sees passes at once, with that clock', () => {
    const { gate, released, arrive } = open('100:100:')
    arrive(99n)
    expect(released).toEqual([[99n, 'insert', 0, clockOf(parseSnapshot('100:100:'))]])
    expect(gate.hasFresh).toBe(false)
  })

  test('an unseen transaction is held until a snapshot sees it, and carries that clock', () => {
    const { gate, released, arrive, answer } = open('100:100:')
    arrive(100n, 2)
    expect(released).toEqual([])
    expect(gate.hasFresh).toBe(true)
    answer('100:102:100')
    expect(released).toEqual([])
    answer('102:102:')
    const clock = clockOf(parseSnapshot('102:102:'))
    expect(released).toEqual([
      [100n, 'insert', 0, clock],
      [100n, 'insert', 1, clock],
    ])
  })

  test('a late transaction holds back no other one', () => {
    const { gate, arrive, answer, order, counts } = open('100:100:')
    arrive(100n)
    arrive(101n)
    answer('100:103:100')
    arrive(102n)
    expect(order()).toEqual([101n, 102n])
    expect(gate.waiting).toBe(1)
    expect(gate.hasFresh).toBe(false)
    expect(counts.late).toBe(1)
  })

  test('late means not seen by a snapshot that was asked for after the arrival', () => {
    const { gate, arrive, counts } = open('100:100:')
    const request = gate.asking()
    arrive(100n)
    gate.apply(parseSnapshot('100:101:100'), request)
    expect(counts.late).toBe(0)
    expect(gate.hasFresh).toBe(true)
    gate.apply(parseSnapshot('100:101:100'), gate.asking())
    expect(counts.late).toBe(1)
    expect(gate.hasFresh).toBe(false)
  })

  test('rows that arrive after the transaction was seen pass without being held', () => {
    const { gate, arrive, answer, released } = open('100:100:')
    const transaction = arrive(100n)
    answer('101:101:')
    gate.row(transaction, row(1))
    expect(released.map(([, , index]) => index)).toEqual([0, 1])
    expect(gate.waiting).toBe(0)
  })

  test('a transaction without rows asks for no snapshot', () => {
    const { gate, arrive } = open('100:100:')
    arrive(100n, 0)
    expect(gate.hasFresh).toBe(false)
    expect(gate.waiting).toBe(0)
  })

  test('past the bound a transaction becomes one bulk change per table, still held until it is visible', () => {
    const { gate, arrive, answer, released, counts } = open('100:100:')
    const transaction = arrive(100n, 12)
    gate.row(transaction, row(12, 'public.u'))
    gate.row(transaction, row(13, 'public.u'))
    expect(released).toEqual([])
    expect(transaction.held.map(({ op, table }) => [op, table])).toEqual([
      ['bulk', 'public.t'],
      ['bulk', 'public.u'],
    ])
    answer('101:101:')
    expect(released).toHaveLength(2)
    expect(counts.collapsed).toBe(1)
  })

  test('a closed gate lets nothing pass, seen or not, and loses nothing', () => {
    const { gate, arrive, answer, order } = open('100:100:')
    gate.close()
    arrive(98n)
    arrive(100n)
    answer('101:101:')
    expect(order()).toEqual([])
    gate.reopen()
    expect(order()).toEqual([98n, 100n])
    arrive(99n)
    expect(order()).toEqual([98n, 100n, 99n])
  })

  test('with the gate switched off an unseen transaction passes: the protection is real', () => {
    const { arrive, order } = open('100:100:', { unsafeNoGate: true })
    arrive(100n)
    expect(order()).toEqual([100n])
  })

  test('rows that wait are bounded by their bytes as well, and keep no memory but their own', () => {
    const chunk = Buffer.alloc(64 * 1024)
    const { gate, order, counts, answer } = open('100:100:', { maxHeldBytes: 1_000 })
    const transaction = new Transaction(100n, frame, () => undefined)
    gate.begin(transaction)
    const wide = (index: number): Row => {
      return { ...row(index), after: { bytes: chunk, from: 0, to: 400 }, key: { bytes: chunk, from: 400, to: 410 } }
    }
    gate.row(transaction, wide(0))
    expect(transaction.held[0]?.key.bytes.buffer.byteLength).toBe(410)
    gate.row(transaction, wide(1))
    gate.row(transaction, wide(2))
    expect(counts.collapsed).toBe(1)
    expect(transaction.held.map(({ op }) => op)).toEqual(['bulk'])
    answer('102:102:')
    expect(order()).toEqual([100n])
  })
})
