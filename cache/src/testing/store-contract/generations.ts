import { epochStart } from '@lockstep/schemas'
import { expect, test } from 'vitest'
import { open, stampAt, step, type Given } from './fixture.ts'

/** How generations begin, and what an older one may still do. */
export function registerGenerations(given: Given): void {
  test('the first partition opens a generation, the others join it', async () => {
    expect((await open(given(), 0, 3n)).kind).toBe('opened')
    expect((await open(given(), 1, 5n)).kind).toBe('joined')
    expect(await given().writer.advance(step(0n, 1n))).toEqual({ kind: 'stands', offset: 3n })
    expect(await given().writer.advance(step(0n, 1n, { partition: 1 }))).toEqual({ kind: 'stands', offset: 5n })
    expect(await given().store.bus.attach()).toMatchObject({ generation: 1, everything: epochStart(1) })
  })

  test('a newer generation forgets positions, classes and watermarks, and fences everything', async () => {
    await open(given(), 0, 0n)
    const watermark = { stamp: stampAt(4), echo: '7', partitions: 1 }
    await given().writer.advance(step(0n, 1n, { fences: [['product:*', stampAt(9), 0]], watermark }))
    expect((await open(given(), 1, 8n, 2)).kind).toBe('opened')
    expect(await given().writer.advance(step(1n, 2n))).toEqual({ kind: 'unknown' })
    const at = await given().store.bus.attach()
    expect(at).toMatchObject({
      generation: 2,
      everything: epochStart(2),
      start: epochStart(2),
      watermark: '',
      echo: '',
    })
    expect(at?.classes.size).toBe(0)
  })

  test('an older generation changes nothing', async () => {
    const { busId } = await open(given(), 0, 1n, 2)
    const before = await given().store.bus.attach()
    expect(await open(given(), 0, 9n, 1)).toEqual({ kind: 'older', busId, generation: 2 })
    expect(await given().store.bus.attach()).toEqual(before)
  })

  test('records of an older generation move the position, vouch for nothing and are told so', async () => {
    await open(given(), 0, 4n, 2)
    const fences = [['product:*', stampAt(9), 0]] as const
    const watermark = { stamp: stampAt(9), echo: '77', partitions: 5 }
    expect(await given().writer.advance(step(4n, 6n, { fences, watermark }))).toMatchObject({
      kind: 'applied',
      outdatedBy: 2,
    })
    expect(await given().store.bus.attach()).toMatchObject({ watermark: '', echo: '' })
    expect((await given().writer.advance(step(6n, 6n))).kind).toBe('applied')
    const current = { stamp: epochStart(2), echo: '88', partitions: 1 }
    const reply = await given().writer.advance(step(6n, 7n, { watermark: current }))
    expect(reply).toEqual({ kind: 'applied', busId: reply.kind === 'applied' ? reply.busId : '' })
    expect(await given().store.bus.attach()).toMatchObject({ watermark: epochStart(2), echo: '88' })
  })

  test('an older flush moves a partition only from exactly before it', async () => {
    await open(given(), 0, 4n, 2)
    expect((await open(given(), 0, 5n, 1)).kind).toBe('older')
    expect((await given().writer.advance(step(5n, 6n))).kind).toBe('applied')
  })

  test('a repeated flush begins nothing and places nothing, and moves a partition that stands exactly at it', async () => {
    const { writer } = given()
    const again = (generation: number, partition: number, next: bigint) =>
      writer.open({ generation, partition, next, partitions: 2, isRepeated: true })
    expect(await again(1, 0, 3n)).toEqual({ kind: 'absent' })
    expect(await given().store.bus.attach()).toBeNull()
    const { busId } = await open(given(), 0, 3n)
    expect(await again(2, 0, 4n)).toEqual({ kind: 'absent' })
    expect(await again(1, 1, 3n)).toEqual({ kind: 'joined', busId })
    expect(await writer.advance(step(3n, 4n, { partition: 1 }))).toEqual({ kind: 'unknown' })
    expect((await again(1, 0, 4n)).kind).toBe('joined')
    expect((await writer.advance(step(4n, 5n))).kind).toBe('applied')
  })

  test('a flush met again moves a partition only from exactly before it', async () => {
    await open(given(), 0, 3n)
    expect((await open(given(), 0, 9n)).kind).toBe('joined')
    expect(await given().writer.advance(step(9n, 10n))).toEqual({ kind: 'stands', offset: 3n })
    await given().writer.advance(step(3n, 8n))
    await open(given(), 0, 9n)
    expect((await given().writer.advance(step(9n, 12n))).kind).toBe('applied')
    await open(given(), 0, 9n)
    expect(await given().writer.advance(step(9n, 12n))).toEqual({ kind: 'stands', offset: 12n })
  })
}
