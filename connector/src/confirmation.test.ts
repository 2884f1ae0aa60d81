import { FakeTime } from '@lockstep/runtime/testing'
import type { Lsn } from '@lockstep/schemas'
import { describe, expect, test } from 'vitest'
import { Confirmation } from './confirmation.ts'
import type { ReplicationStream } from './ports.ts'

const lsn = (position: number): Lsn => BigInt(position) as Lsn

function setUp() {
  const time = new FakeTime()
  const confirmed: bigint[] = []
  const errors: unknown[] = []
  const state = { walEnd: 0, transactions: 0, notes: 0, fails: false }
  const stream: ReplicationStream = {
    ended: new Promise(() => undefined),
    confirm: (position) => void confirmed.push(position),
    setPaused: () => undefined,
    stop: () => Promise.resolve(),
  }
  const epochs = {
    reserve: () => {
      state.notes += 1
      return state.fails ? Promise.reject(new Error('no connection')) : Promise.resolve(lsn(state.walEnd))
    },
  }
  const confirmation = new Confirmation({
    stream,
    epochs,
    time,
    confirmable: lsn(100),
    received: () => state.transactions,
    onError: (error) => errors.push(error),
  })
  return { confirmation, confirmed, errors, state, time }
}

describe('connector/confirmation', () => {
  test('nothing above the durable note is acknowledged, and a note follows at once', async () => {
    const { confirmation, confirmed, state, time } = setUp()
    Object.assign(state, { walEnd: 200, transactions: 1 })
    confirmation.confirm(lsn(90), false)
    confirmation.confirm(lsn(150), false)
    expect(confirmed).toEqual([90n, 100n])
    await time.advance(0)
    expect(confirmed).toEqual([90n, 100n, 150n])
    confirmation.confirm(lsn(180), false)
    expect(confirmed.at(-1)).toBe(180n)
    expect(state.notes).toBe(1)
  })

  test('notes are at least a second apart', async () => {
    const { confirmation, confirmed, state, time } = setUp()
    for (let round = 1; round <= 100; round++) {
      Object.assign(state, { walEnd: 100 + round * 10, transactions: round })
      confirmation.confirm(lsn(100 + round * 10), false)
      await time.advance(50)
    }
    // After 0, 1, 2, 3, 4 and 5 seconds.
    expect(state.notes).toBe(6)
    expect(confirmed.at(-1)).toBeGreaterThan(900n)
  })

  test('what is confirmed within a second of a note is noted after it, though nothing more arrives', async () => {
    const { confirmation, confirmed, state, time } = setUp()
    Object.assign(state, { walEnd: 150, transactions: 1 })
    confirmation.confirm(lsn(150), false)
    await time.advance(500)
    Object.assign(state, { walEnd: 200, transactions: 2 })
    confirmation.confirm(lsn(200), false)
    expect(confirmed.at(-1)).toBe(150n)
    await time.advance(500)
    expect(confirmed.at(-1)).toBe(200n)
    expect(state.notes).toBe(2)
  })

  test('after its stop it notes nothing', async () => {
    const { confirmation, state, time } = setUp()
    Object.assign(state, { walEnd: 150, transactions: 1 })
    confirmation.confirm(lsn(150), false)
    await time.advance(500)
    state.transactions = 2
    confirmation.confirm(lsn(200), false)
    await confirmation.stop()
    await time.advance(5_000)
    expect(state.notes).toBe(1)
  })

  test('the WAL of a note alone is not worth the next one, much WAL of others is', async () => {
    const { confirmation, state, time } = setUp()
    Object.assign(state, { walEnd: 200, transactions: 1 })
    confirmation.confirm(lsn(150), false)
    await time.advance(10_000)
    confirmation.confirm(lsn(300), false)
    await time.advance(10_000)
    expect(state.notes).toBe(1)
    confirmation.confirm(lsn(100_000), false)
    await time.advance(0)
    expect(state.notes).toBe(2)
  })

  test('the end of a session notes and acknowledges the rest', async () => {
    const { confirmation, confirmed, state } = setUp()
    state.walEnd = 300
    confirmation.confirm(lsn(250), false)
    await confirmation.settle()
    expect(confirmed.at(-1)).toBe(250n)
  })

  test('a note that fails is an error of the session, and acknowledges nothing', async () => {
    const { confirmation, confirmed, errors, state, time } = setUp()
    Object.assign(state, { transactions: 1, fails: true })
    confirmation.confirm(lsn(150), false)
    await time.advance(0)
    expect(errors).toHaveLength(1)
    expect(confirmed).toEqual([100n])
  })
})
