import { FakeTime, settle } from '@lockstep/runtime/testing'
import { parseSnapshot } from '@lockstep/schemas'
import type { Lsn } from '@lockstep/schemas'
import { describe, expect, test } from 'vitest'
import { Gate } from './gate.ts'
import type { Reading } from './ports.ts'
import { SnapshotPump } from './pump.ts'
import { tableRow } from './row.ts'
import { Transaction } from './transactions.ts'

function open() {
  const time = new FakeTime()
  const asked: ((reading: Reading) => void)[] = []
  const echoes: string[] = []
  const state = { echo: '' }
  const end = new AbortController()
  const gate = new Gate(parseSnapshot('100:100:'), {
    release: () => undefined,
    events: { passed: () => undefined, late: () => undefined, collapsed: () => undefined },
    nowMs: () => time.nowMs(),
    maxHeldRows: 10,
    maxHeldBytes: 1_000,
  })
  const pump = new SnapshotPump({
    snapshots: { take: () => new Promise<Reading>((resolve) => asked.push(resolve)) },
    gate,
    time,
    heartbeatMs: 1_000,
    signal: end.signal,
    echo: () => state.echo,
    onReading: (_reading, echo) => echoes.push(echo),
    onBeat: () => undefined,
    onError: (error) => {
      throw error
    },
  })
  const answer = async (text: string): Promise<void> => {
    asked.at(-1)?.({ snapshot: parseSnapshot(text), lsn: 0n as Lsn })
    await settle()
  }
  const arrive = (xid: bigint): void => {
    const transaction = new Transaction(xid, { xid: 0, commitLsn: 0n as Lsn, commitTimeUs: 0n }, () => undefined)
    gate.begin(transaction)
    gate.row(transaction, tableRow('insert', 't'))
    pump.wake()
  }
  return { time, asked, echoes, state, pump, answer, arrive, end }
}

describe('connector/pump', () => {
  test('a fresh transaction is asked for at once, with one question in flight', async () => {
    const { asked, arrive, answer, time } = open()
    arrive(100n)
    arrive(101n)
    expect(asked).toHaveLength(1)
    await answer('102:102:')
    expect(asked).toHaveLength(1)
    expect(time.nowMs()).toBe(0)
  })

  test('late transactions are asked for three times at once and then with growing pauses, fresh ones still at once', async () => {
    const { asked, arrive, answer, time } = open()
    arrive(100n)
    for (const round of [1, 2, 3]) {
      expect(asked).toHaveLength(round)
      expect(time.nowMs()).toBe(0)
      await answer('100:101:100')
    }
    expect(asked).toHaveLength(3)
    const pauses: number[] = []
    for (let round = 0; round < 7; round++) {
      const before = { asked: asked.length, ms: time.nowMs() }
      while (asked.length === before.asked) await time.advance(1)
      pauses.push(time.nowMs() - before.ms)
      await answer('100:101:100')
    }
    expect(pauses).toEqual([1, 2, 4, 8, 16, 20, 20])
    const count = asked.length
    arrive(101n)
    expect(asked).toHaveLength(count + 1)
  })

  test('only an echo that had arrived before the question rides on its answer', async () => {
    const { echoes, state, pump, answer, end } = open()
    state.echo = '1'
    const running = pump.run()
    state.echo = '2'
    await answer('100:100:')
    expect(echoes).toEqual(['1'])
    end.abort()
    await running
  })
})
