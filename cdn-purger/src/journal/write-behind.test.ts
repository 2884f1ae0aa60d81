import { silentLogger } from '@lockstep/runtime'
import { FakeTime } from '@lockstep/runtime/testing'
import { describe, expect, test } from 'vitest'
import { entry, item } from '../testing/journal-contract.ts'
import type { JournalEntry } from './port.ts'
import { WriteBehindJournal } from './write-behind.ts'

interface Scene {
  readonly time: FakeTime
  readonly journal: WriteBehindJournal
  /** One list of tags per write. */
  readonly writes: string[][]
  readonly pruned: number[]
  /** Makes writes fail until it is null. */
  fault: Error | null
  isClosed: boolean
}

function scene(): Scene {
  const time = new FakeTime(0)
  const writes: string[][] = []
  const pruned: number[] = []
  const store = {
    write: (entries: readonly JournalEntry[]) => {
      if (self.fault) return Promise.reject(self.fault)
      writes.push(entries.flatMap(({ items }) => items.map(({ command }) => String(command.tag))))
      return Promise.resolve()
    },
    prune: (beforeMs: number) => Promise.resolve(void pruned.push(beforeMs)),
    close: () => Promise.resolve(void (self.isClosed = true)),
  }
  const options = { lingerMs: 5, maxItems: 3, closeMs: 1_000, retentionMs: 1_000 }
  const journal = new WriteBehindJournal({ store, time, random: () => 1, logger: silentLogger, options })
  const self: Scene = { time, journal, writes, pruned, fault: null, isClosed: false }
  return self
}

const one = (tag: string) => entry(1, [item(tag, 1)])

describe('cdn-purger/journal/write-behind', () => {
  test('what comes together travels together, in order, within the bound of one write', async () => {
    const { journal, time, writes } = scene()
    const durable = ['a', 'b', 'c', 'd'].map((tag) => journal.append(one(tag)))
    expect(journal.pending).toBe(4)
    expect(writes).toEqual([])
    await time.advance(5)
    await Promise.all(durable)
    expect(writes).toEqual([['a', 'b', 'c'], ['d']])
    expect(journal.pending).toBe(0)
  })

  test('an append is durable only when the store has it, and a store that is away is tried again', async () => {
    const it = scene()
    it.fault = new Error('away')
    let isDurable = false
    const durable = it.journal.append(one('a')).then(() => (isDurable = true))
    await it.time.advance(60)
    expect(isDurable).toBe(false)
    expect(it.journal.pending).toBe(1)
    it.fault = null
    await it.time.advance(5_000)
    await durable
    expect(it.writes).toEqual([['a']])
  })

  test('an entry larger than a write goes alone', async () => {
    const { journal, time, writes } = scene()
    const durable = [
      journal.append(
        entry(
          1,
          ['a', 'b', 'c', 'd'].map((tag) => item(tag, 1)),
        ),
      ),
      journal.append(one('e')),
    ]
    await time.advance(5)
    await Promise.all(durable)
    expect(writes).toEqual([['a', 'b', 'c', 'd'], ['e']])
  })

  test('closing writes what was taken', async () => {
    const it = scene()
    const durable = it.journal.append(one('a'))
    const closed = it.journal.close()
    await it.time.advance(5)
    await Promise.all([durable, closed])
    expect(it.writes).toEqual([['a']])
    expect(it.isClosed).toBe(true)
  })

  test('closing gives up a store that stays away, and calls nothing durable', async () => {
    const it = scene()
    it.fault = new Error('away')
    let isDurable = false
    void it.journal.append(one('a')).then(() => (isDurable = true))
    const closed = it.journal.close()
    await it.time.advance(1_000)
    await closed
    expect(isDurable).toBe(false)
    expect(it.isClosed).toBe(true)
  })

  test('what is older than the retention is forgotten soon after the start, then every hour', async () => {
    const { time, pruned } = scene()
    await time.advance(2 * 3_600_000)
    expect(pruned).toEqual([59_000, 3_659_000])
  })
})
