import { describe, expect, test } from 'vitest'
import type { LogBatch } from '../event-log.ts'
import { registerEventLogContract } from '../testing/event-log-contract.ts'
import { waitFor } from '../testing/wait-for.ts'
import { createMemoryLog } from './memory.ts'

registerEventLogContract(
  'the memory log',
  () => {
    const partitions: Record<string, number> = {}
    const log = createMemoryLog({ partitions })
    let opens = 0
    return Promise.resolve({
      createTopic: (count) => {
        partitions['t'] = count
        return Promise.resolve('t')
      },
      // There is one log per process: who opens it again shares it and must not close it for the first.
      open: () => Promise.resolve(opens++ === 0 ? log : { ...log, close: () => Promise.resolve() }),
      close: () => log.close(),
    })
  },
  { deadlineMs: 2_000 },
)

const values = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ key: null, value: Buffer.from([index]) }))
const settled = async (promise: Promise<unknown>): Promise<boolean> => {
  let isSettled = false
  void promise.finally(() => (isSettled = true))
  await new Promise((resolve) => setImmediate(resolve))
  return isSettled
}

describe('the memory log', () => {
  test('produce waits while the slowest group is more than maxBacklog behind, and goes on in call order', async () => {
    const log = createMemoryLog({ maxBacklog: 10 })
    const held: LogBatch[] = []
    await log.consume({ topic: 't', group: 'slow' }, (batch) => Promise.resolve(void held.push(batch)))
    const order: number[] = []
    await log.consume({ topic: 't', group: 'fast' }, (batch) => {
      for (const { value } of batch.records) order.push(value[0] ?? -1)
      batch.commit()
      return Promise.resolve()
    })
    await log.produce('t', values(11))
    const second = log.produce('t', [{ key: null, value: Buffer.from([100]) }])
    const third = log.produce('t', [{ key: null, value: Buffer.from([101]) }])
    expect(await settled(second)).toBe(false)
    await waitFor(() => held.length > 0, 1_000)
    for (const batch of held) batch.commit()
    await Promise.all([second, third])
    await waitFor(() => order.length === 13, 1_000)
    expect(order.slice(11)).toEqual([100, 101])
    await log.close()
  })

  test('a waiting produce rejects when the log closes', async () => {
    const log = createMemoryLog({ maxBacklog: 1 })
    await log.consume({ topic: 't', group: 'g' }, () => Promise.resolve())
    await log.produce('t', values(2))
    const waiting = log.produce('t', values(1))
    await log.close()
    await expect(waiting).rejects.toMatchObject({ code: 'LOCKSTEP_LOG_CLOSED', disposition: 'aborted' })
  })

  test('a topic without any group keeps its newest maxBacklog records for a group that comes later', async () => {
    const log = createMemoryLog({ maxBacklog: 100 })
    for (let round = 0; round < 5; round++) await log.produce('t', values(50))
    const seen: LogBatch[] = []
    await log.consume({ topic: 't', group: 'late' }, (batch) => Promise.resolve(void seen.push(batch)))
    await waitFor(() => seen.length > 0, 1_000)
    expect(seen[0]?.records[0]?.offset).toBe(150n)
    expect(seen[0]?.records).toHaveLength(100)
    await log.close()
  })

  test('a rewind before the kept records shows the loss in firstOffset', async () => {
    const log = createMemoryLog()
    const seen: LogBatch[] = []
    await log.consume({ topic: 't', group: 'g' }, (batch) => {
      seen.push(batch)
      batch.commit()
      return Promise.resolve()
    })
    await log.produce('t', values(5))
    await waitFor(() => seen.length === 1, 1_000)
    seen[0]?.rewind(2n)
    await log.produce('t', values(1))
    await waitFor(() => seen.length === 2, 1_000)
    expect(seen[1]?.firstOffset).toBe(2n)
    expect(seen[1]?.records[0]?.offset).toBe(5n)
    await log.close()
  })

  test('a long backlog leaves turns of the event loop to others', async () => {
    const log = createMemoryLog()
    for (let round = 0; round < 20; round++) await log.produce('t', values(250))
    let turns = 0
    const count = (): void => {
      turns += 1
      if (turns < 5) setImmediate(count)
    }
    setImmediate(count)
    let turnsAtEnd = -1
    await log.consume({ topic: 't', group: 'g' }, (batch) => {
      if (batch.nextOffset === 5_000n) turnsAtEnd = turns
      return Promise.resolve()
    })
    await waitFor(() => turnsAtEnd >= 0, 1_000)
    expect(turnsAtEnd).toBeGreaterThanOrEqual(5)
    await log.close()
  })

  test('delivery needs no timer: a record reaches an idle handler before the next turn of the event loop', async () => {
    const log = createMemoryLog()
    let seen = 0
    await log.consume({ topic: 't', group: 'g' }, (batch) => Promise.resolve(void (seen += batch.records.length)))
    await log.produce('t', values(1))
    const whenImmediate = await new Promise<number>((resolve) => setImmediate(() => resolve(seen)))
    expect(whenImmediate).toBe(1)
    await log.close()
  })
})
