import type { BusFence, Tag } from '@lockstep/schemas'
import { expect, test } from 'vitest'
import type { AdvanceBatch } from '../../fence-writer.ts'
import { open, stampAt, step, TAG, type Given } from './fixture.ts'

/** How batches move partitions, classes and the watermark. */
export function registerPositions(given: Given): void {
  test('nothing advances without a generation, and nothing but opening one begins it', async () => {
    expect(await given().writer.advance(step(0n, 1n))).toEqual({ kind: 'absent' })
    expect(await given().store.bus.attach()).toBeNull()
  })

  test('a partition whose flush was not met is unknown', async () => {
    await open(given(), 0, 1n)
    expect(await given().writer.advance(step(0n, 1n, { partition: 1 }))).toEqual({ kind: 'unknown' })
  })

  test('a batch that does not begin where the partition stands changes nothing', async () => {
    await open(given(), 0, 4n)
    const before = await given().store.bus.attach()
    const fences = [['product:*', stampAt(9), 0]] as const
    for (const from of [0n, 5n]) {
      expect(await given().writer.advance(step(from, 9n, { fences }))).toEqual({ kind: 'stands', offset: 4n })
    }
    expect(await given().store.bus.attach()).toEqual(before)
  })

  test('a repeated batch finds itself applied', async () => {
    await open(given(), 0, 4n)
    expect((await given().writer.advance(step(4n, 9n))).kind).toBe('applied')
    expect(await given().writer.advance(step(4n, 9n))).toEqual({ kind: 'stands', offset: 9n })
    expect((await given().writer.advance(step(9n, 10n))).kind).toBe('applied')
  })

  test('plain fences travel with a batch: they are raised with it, and also where it is refused', async () => {
    await open(given(), 0, 4n)
    const { writer, store } = given()
    const tags = ['product:1', 'product:2'] as Tag[]
    const stampsOf = async () => (await store.values.fences(tags)).records.map((fence) => fence?.stamp)
    const plain = (n: number): BusFence[] => tags.map((tag, index) => [tag, stampAt(n + index), 0])
    const fences: BusFence[] = [['product:*', stampAt(3), 0], ...plain(3)]
    expect((await writer.advance(step(4n, 9n, { fences }))).kind).toBe('applied')
    expect(await stampsOf()).toEqual([stampAt(3), stampAt(4)])
    expect((await writer.advance(step(4n, 9n, { fences: plain(5) }))).kind).toBe('stands')
    expect(await stampsOf()).toEqual([stampAt(5), stampAt(6)])
    expect((await writer.advance(step(9n, 9n, { fences: plain(1) }))).kind).toBe('applied')
    expect(await stampsOf()).toEqual([stampAt(5), stampAt(6)])
  })

  test('an applied batch raises classes, everything and the greatest stamp, each by maximum', async () => {
    await open(given(), 0, 0n)
    const batch = (from: bigint, n: number): AdvanceBatch =>
      step(from, from + 1n, {
        fences: [
          ['product:1', stampAt(n + 1), 0],
          ['product:*', stampAt(n), 0],
          ['*', stampAt(n - 1), 0],
        ],
      })
    await given().writer.advance(batch(0n, 20))
    await given().writer.advance(batch(1n, 10))
    const at = await given().store.bus.attach()
    expect(at).toMatchObject({ start: stampAt(21), everything: stampAt(19), generation: 1 })
    expect([...(at?.classes ?? [])]).toEqual([['product', stampAt(20)]])
  })

  test('watermark and echo are the least of all partitions and unknown until each has one', async () => {
    await open(given(), 0, 0n)
    await open(given(), 1, 0n)
    const mark = (n: number, echo: string) => ({ watermark: { stamp: stampAt(n), echo, partitions: 2 } })
    await given().writer.advance(step(0n, 1n, mark(8, '2000')))
    expect(await given().store.bus.attach()).toMatchObject({ watermark: '', echo: '' })
    await given().writer.advance(step(0n, 1n, { partition: 1, ...mark(6, '900') }))
    expect(await given().store.bus.attach()).toMatchObject({ watermark: stampAt(6), echo: '900' })
    await given().writer.advance(step(1n, 2n, { partition: 1, ...mark(9, '10000') }))
    expect(await given().store.bus.attach()).toMatchObject({ watermark: stampAt(8), echo: '2000' })
    await given().writer.advance(step(2n, 3n, { partition: 1, ...mark(3, '1') }))
    expect(await given().store.bus.attach()).toMatchObject({ watermark: stampAt(8), echo: '2000' })
  })

  test('fences come with the least watermark of all partitions, which a newer generation forgets', async () => {
    const { store, writer } = given()
    const upTo = async () => (await store.values.fences([TAG])).appliedUpTo
    expect(await upTo()).toBe('')
    await open(given(), 0, 0n)
    await open(given(), 1, 0n)
    const mark = (n: number) => ({ watermark: { stamp: stampAt(n), echo: '', partitions: 2 } })
    await writer.advance(step(0n, 1n, mark(8)))
    expect(await upTo()).toBe('')
    await writer.advance(step(0n, 1n, { partition: 1, ...mark(6) }))
    expect(await upTo()).toBe(stampAt(6))
    await open(given(), 0, 5n, 2)
    expect(await upTo()).toBe('')
  })

  test('a watermark without an echo moves the stamp only', async () => {
    await given().writer.open({ generation: 1, partition: 0, next: 0n, partitions: 1 })
    const watermark = { stamp: stampAt(4), echo: '', partitions: 1 }
    await given().writer.advance(step(0n, 1n, { watermark }))
    expect(await given().store.bus.attach()).toMatchObject({ watermark: stampAt(4), echo: '' })
  })
}
