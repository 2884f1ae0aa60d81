import { epochStart, stampOf } from '@lockstep/schemas'
import type { BusFence, Clock } from '@lockstep/schemas'
import { describe, expect, test } from 'vitest'
import type { AdvanceBatch, FenceWriter } from '../ports.ts'

/** Gives a writer over an empty, private namespace. */
export type FenceWriterFactory = () => Promise<FenceWriter> | FenceWriter

const stamp = (generation: number, xmax: number) =>
  stampOf(generation, `${xmax.toString(16).padStart(16, '0')}ffff` as Clock)

const step = (from: bigint, to: bigint, rest: Partial<AdvanceBatch> = {}): AdvanceBatch => ({
  partition: 0,
  from,
  to,
  fences: [],
  ...rest,
})

/** Registers what the invalidator relies on in any FenceWriter. */
export function registerFenceWriterContract(name: string, create: FenceWriterFactory): void {
  describe(`invalidator/fence-writer: ${name}`, () => {
    const opened = async (): Promise<FenceWriter> => {
      const writer = await create()
      await writer.open({ generation: 3, partition: 0, next: 10n, partitions: 2 })
      return writer
    }

    test('advance refuses while there is no w, and never creates it', async () => {
      const writer = await create()
      expect(await writer.advance(step(0n, 5n))).toEqual({ kind: 'absent' })
      expect(await writer.advance(step(0n, 5n))).toEqual({ kind: 'absent' })
    })

    test('the first open of a generation opens it, the other partitions join', async () => {
      const writer = await create()
      expect((await writer.open({ generation: 3, partition: 1, next: 4n, partitions: 2 })).kind).toBe('opened')
      expect((await writer.open({ generation: 3, partition: 0, next: 9n, partitions: 2 })).kind).toBe('joined')
      expect((await writer.open({ generation: 2, partition: 0, next: 9n, partitions: 2 })).kind).toBe('older')
      expect((await writer.advance(step(9n, 10n))).kind).toBe('applied')
    })

    test('a repeated open moves only a position that stands exactly at its flush', async () => {
      const writer = await opened()
      expect((await writer.open({ generation: 3, partition: 0, next: 50n, partitions: 2 })).kind).toBe('joined')
      expect(await writer.advance(step(50n, 51n))).toEqual({ kind: 'stands', offset: 10n })
      await writer.open({ generation: 3, partition: 0, next: 2n, partitions: 2 })
      await writer.open({ generation: 3, partition: 0, next: 11n, partitions: 2 })
      expect((await writer.advance(step(11n, 12n))).kind).toBe('applied')
    })

    test('a repeated flush opens nothing and places no partition, but moves one that stands exactly at it', async () => {
      const writer = await create()
      const again = (generation: number, partition: number, next: bigint) =>
        writer.open({ generation, partition, next, partitions: 2, isRepeated: true })
      expect(await again(3, 0, 10n)).toEqual({ kind: 'absent' })
      expect(await writer.advance(step(10n, 11n))).toEqual({ kind: 'absent' })
      await writer.open({ generation: 3, partition: 0, next: 10n, partitions: 2 })
      expect(await again(4, 0, 11n)).toEqual({ kind: 'absent' })
      expect((await again(3, 1, 10n)).kind).toBe('joined')
      expect(await writer.advance(step(10n, 11n, { partition: 1 }))).toEqual({ kind: 'unknown' })
      expect((await again(3, 0, 11n)).kind).toBe('joined')
      expect((await writer.advance(step(11n, 12n))).kind).toBe('applied')
    })

    test('all tags that one change can have go in one call', async () => {
      const writer = await opened()
      const fences = Array.from({ length: 1_000 }, (_, id): BusFence => [`r:${id}`, stamp(3, 5), 0])
      expect((await writer.advance(step(10n, 11n, { fences }))).kind).toBe('applied')
    })

    test('a newer generation forgets the positions of the older one', async () => {
      const writer = await opened()
      await writer.open({ generation: 4, partition: 1, next: 7n, partitions: 2 })
      expect(await writer.advance(step(10n, 11n))).toEqual({ kind: 'unknown' })
    })

    test('records of an older generation move the position and are told so', async () => {
      const writer = await opened()
      const watermark = { stamp: stamp(2, 9), echo: '1700000000000000', partitions: 2 }
      expect(await writer.advance(step(10n, 12n, { watermark }))).toMatchObject({ kind: 'applied', outdatedBy: 3 })
      await writer.open({ generation: 2, partition: 0, next: 13n, partitions: 2 })
      expect((await writer.advance(step(13n, 14n))).kind).toBe('applied')
    })

    test('advance takes exactly the step that begins where w stands', async () => {
      const writer = await opened()
      expect(await writer.advance(step(11n, 12n))).toEqual({ kind: 'stands', offset: 10n })
      expect(await writer.advance(step(9n, 12n))).toEqual({ kind: 'stands', offset: 10n })
      expect((await writer.advance(step(10n, 12n))).kind).toBe('applied')
      expect(await writer.advance(step(10n, 12n))).toEqual({ kind: 'stands', offset: 12n })
    })

    test('an empty step is taken and appends an entry', async () => {
      const writer = await opened()
      const first = await writer.advance(step(10n, 10n))
      const second = await writer.advance(step(10n, 10n))
      expect(first.kind).toBe('applied')
      expect(second.kind).toBe('applied')
      expect(second).not.toEqual(first)
    })

    test('fences of every kind travel in one step', async () => {
      const writer = await opened()
      const reply = await writer.advance(
        step(10n, 11n, {
          fences: [
            ['product:1', stamp(3, 7), 1],
            ['category:*', stamp(3, 8), 2],
            ['*', epochStart(3), 3],
          ],
          watermark: { stamp: stamp(3, 9), echo: '1700000000000000', partitions: 2 },
        }),
      )
      expect(reply.kind).toBe('applied')
    })
  })
}
