import type { Lsn } from '@lockstep/schemas'
import { expect, test } from 'vitest'
import type { JournalEntry, JournalItem } from '../journal/port.ts'
import type { JournalQuery, JournalRecord, JournalStore } from '../journal/store.ts'
import { command } from './commands.ts'

const DAY_MS = 86_400_000

/** One purge of an entry, its LSN being its clock. */
export function item(tag: string, clock: number, more: Partial<JournalItem> = {}): JournalItem {
  return { command: command({ tag, clock, commitMs: clock }), ...more }
}

/** An entry at a time. */
export function entry(atMs: number, items: readonly JournalItem[], more: Partial<JournalEntry> = {}): JournalEntry {
  return { state: 'acked', atMs, phase: 'live', lane: 'live', items, ...more }
}

/** Reads everything that a query answers. */
export async function readAll(store: JournalStore, query: JournalQuery = {}): Promise<JournalRecord[]> {
  const records: JournalRecord[] = []
  for await (const record of store.read(query)) records.push(record)
  return records
}

/** The laws of a journal store; `open` answers a new, empty one. */
export function registerJournalStoreContract(open: () => Promise<JournalStore>): void {
  const law = (name: string, body: (store: JournalStore) => Promise<void>) =>
    // oxlint-disable-next-line vitest/valid-title, vitest/expect-expect -- the laws below give both
    test(name, async () => {
      const store = await open()
      try {
        await body(store)
      } finally {
        await store.close()
      }
    })
  const tagsOf = (records: readonly JournalRecord[]) => records.map(({ tag }) => tag)

  law('what is written is read back, every field of it', async (store) => {
    const written = entry(DAY_MS + 7, [item('product:1', 5, { attempts: 3, actor: 'ann', replayOf: 'r1' })], {
      state: 'retrying',
      phase: 'rebound',
      lane: 'replay',
      provider: 'edge',
      tier: 1,
      batch: 'b1',
      providerPurgeId: 'p-77',
      sentAtMs: DAY_MS + 3,
      objects: 12,
      detail: 'status 503',
    })
    await store.write([written])
    const { items, ...shared } = written
    const { id, tag, stamp, commitLsn, commitTimeUs } = items[0]!.command
    const found = await readAll(store)
    expect(found).toEqual([
      {
        ...shared,
        position: { entry: expect.any(Number) as number, item: 0 },
        id,
        tag,
        stamp,
        commitLsn,
        commitTimeUs,
        attempts: 3,
        actor: 'ann',
        replayOf: 'r1',
      },
    ])
  })

  law('entries and their purges keep their order, in both directions, over many pages', async (store) => {
    const total = 450
    const entries = Array.from({ length: total }, (_, n) => entry(DAY_MS + n, [item(`a:${n}`, n), item(`b:${n}`, n)]))
    await store.write(entries)
    const expected = entries.flatMap(({ items }) => items.map(({ command: { tag } }) => tag))
    expect(tagsOf(await readAll(store))).toEqual(expected)
    expect(tagsOf(await readAll(store, { newestFirst: true }))).toEqual(expected.toReversed())
  })

  law('reading goes on after any position, and misses or repeats nothing', async (store) => {
    await store.write([1, 2, 3].map((n) => entry(DAY_MS + n, [item(`a:${n}`, n), item(`b:${n}`, n)])))
    for (const newestFirst of [false, true]) {
      const all = await readAll(store, { newestFirst })
      for (const [index, { position: after }] of all.entries()) {
        expect(await readAll(store, { newestFirst, after })).toEqual(all.slice(index + 1))
      }
    }
  })

  law('every condition narrows', async (store) => {
    await store.write([
      entry(DAY_MS, [item('product:1', 10), item('product:10', 20)], { batch: 'b1', provider: 'edge' }),
      entry(DAY_MS + 1, [item('category:1', 30)], { state: 'accepted', lane: 'manual' }),
      entry(DAY_MS + 2, [item('product:1', 40, { replayOf: 'r9' })], { phase: 'rebound', provider: 'shield' }),
    ])
    const answers = async (query: JournalQuery, clocks: readonly number[]) =>
      expect((await readAll(store, query)).map(({ commitLsn }) => Number(commitLsn))).toEqual(clocks)
    const tag = command({ tag: 'product:1' }).tag
    await answers({ tag }, [10, 40])
    await answers({ tag, fromMs: DAY_MS + 1 }, [40])
    await answers({ toMs: DAY_MS + 1 }, [10, 20])
    await answers({ fromMs: DAY_MS + 1, toMs: DAY_MS + 2 }, [30])
    await answers({ prefix: 'product:1' }, [10, 20, 40])
    await answers({ tagClass: 'category' }, [30])
    await answers({ fromLsn: 20n as Lsn, toLsn: 30n as Lsn }, [20, 30])
    await answers({ batch: 'b1' }, [10, 20])
    await answers({ provider: 'shield' }, [40])
    await answers({ state: 'accepted' }, [30])
    await answers({ phase: 'rebound' }, [40])
    await answers({ lane: 'manual' }, [30])
    await answers({ replayOf: 'r9' }, [40])
    await answers({ tag, batch: 'b2' }, [])
  })

  law('old days are forgotten, younger ones stay', async (store) => {
    await store.write([entry(DAY_MS + 5, [item('a:1', 1)]), entry(3 * DAY_MS, [item('a:2', 2), item('a:1', 3)])])
    await store.prune(3 * DAY_MS)
    expect(tagsOf(await readAll(store))).toEqual(['a:2', 'a:1'])
    expect(await readAll(store, { tag: command({ tag: 'a:1' }).tag })).toHaveLength(1)
    await store.write([entry(DAY_MS + 6, [item('a:9', 9)])])
    expect(await readAll(store)).toHaveLength(3)
  })

  law('positions beyond 2^53 and below 2^63 keep every digit', async (store) => {
    const commitLsn = 0x7fff_ffff_ffff_fff1n as Lsn
    await store.write([entry(DAY_MS, [{ command: { ...command({ tag: 'a:1' }), commitLsn } }])])
    expect((await readAll(store, { fromLsn: commitLsn, toLsn: commitLsn }))[0]?.commitLsn).toBe(commitLsn)
    expect(await readAll(store, { fromLsn: (commitLsn + 1n) as Lsn })).toEqual([])
  })
}
