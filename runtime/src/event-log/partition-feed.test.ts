import { describe, expect, test } from 'vitest'
import type { LogBatch, ReceivedRecord } from '../event-log.ts'
import { PartitionFeed } from './partition-feed.ts'
import { HandlerRun } from './subscription.ts'

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
const turns = async (count: number) => {
  for (let index = 0; index < count; index++) await turn()
}
const recordsFrom = (first: bigint, count: number): ReceivedRecord[] =>
  Array.from({ length: count }, (_, index) => ({ offset: first + BigInt(index), key: null, value: Buffer.alloc(0) }))

function setUp(onBatch: (batch: LogBatch) => void | Promise<void>, position = 0n, after = Promise.resolve()) {
  const calls: string[] = []
  const batches: LogBatch[] = []
  const run = new HandlerRun(async (batch) => {
    batches.push(batch)
    await onBatch(batch)
  })
  const control = {
    pause: () => void calls.push('pause'),
    resume: () => void calls.push('resume'),
    seek: (offset: bigint) => void calls.push(`seek ${offset}`),
    committed: (offset: bigint) => void calls.push(`committed ${offset}`),
  }
  const feed = new PartitionFeed({ topic: 't', partition: 0, position, run, control, after })
  const offer = (first: bigint, count: number) => feed.offer(recordsFrom(first, count), first + BigInt(count))
  return { feed, run, calls, batches, offer }
}

describe('PartitionFeed', () => {
  test('a jump of the log shows: firstOffset is what was expected, the first record is what came', async () => {
    const { batches, offer } = setUp(() => undefined, 5n)
    await turn()
    offer(100n, 2)
    await turns(2)
    expect(batches[0]?.firstOffset).toBe(5n)
    expect(batches[0]?.records[0]?.offset).toBe(100n)
    expect(batches[0]?.nextOffset).toBe(102n)
    offer(102n, 1)
    await turns(2)
    expect(batches[1]?.firstOffset).toBe(102n)
  })

  test('offsets that the log does not deliver at the end of a fetch belong to the last batch', async () => {
    const { feed, batches } = setUp(() => undefined)
    await turn()
    feed.offer(recordsFrom(0n, 2), 3n)
    await turn()
    expect(batches[0]?.nextOffset).toBe(3n)
  })

  test('a handler gets at most 500 records, and the next batch only after it returned', async () => {
    let release = (): void => undefined
    const { batches, offer } = setUp(() => new Promise<void>((resolve) => (release = resolve)))
    await turn()
    offer(0n, 700)
    await turns(5)
    expect(batches.map((batch) => batch.records.length)).toEqual([500])
    release()
    await turns(5)
    expect(batches.map((batch) => batch.records.length)).toEqual([500, 200])
  })

  test('fetching pauses above the bound and resumes when half of it is handled', async () => {
    const { calls, batches, offer } = setUp(() => undefined)
    await turn()
    offer(0n, 6_000)
    expect(calls).toEqual(['pause'])
    await turns(30)
    expect(calls).toEqual(['pause', 'resume'])
    expect(batches.reduce((sum, batch) => sum + batch.records.length, 0)).toBe(6_000)
  })

  test('a rewind waits for the handler, drops what is queued and seeks', async () => {
    const { calls, batches, offer, feed } = setUp((batch) => {
      if (batches.length === 1) batch.rewind(2n)
      batch.commit()
    })
    await turn()
    offer(0n, 600)
    await turns(5)
    expect(calls).toEqual(['committed 2', 'seek 2'])
    expect(batches).toHaveLength(1)
    expect(feed.fetched).toBe(2n)
    offer(2n, 3)
    await turns(2)
    expect(batches[1]?.firstOffset).toBe(2n)
    expect(calls.at(-1)).toBe('committed 5')
  })

  test('a new assignment waits for the handler of the one before, and its commits no longer count', async () => {
    let release = (): void => undefined
    const first = setUp(() => new Promise<void>((resolve) => (release = resolve)))
    await turn()
    first.offer(0n, 1)
    await turn()
    first.feed.close()
    const second = setUp(() => undefined, 0n, first.feed.idle)
    second.offer(0n, 1)
    await turns(3)
    expect(second.batches).toHaveLength(0)
    first.batches[0]?.commit()
    release()
    await turns(3)
    expect(second.batches).toHaveLength(1)
    expect(first.calls).toEqual([])
  })

  test('after a rejected handler nothing more is delivered', async () => {
    const { run, batches, offer } = setUp(() => Promise.reject(new Error('broken on purpose')))
    await turn()
    offer(0n, 1_200)
    await turns(5)
    expect(batches).toHaveLength(1)
    expect(run.isEnding).toBe(true)
  })
})
