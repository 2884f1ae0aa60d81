import { epochStart } from '@lockstep/schemas'
import { expect, test } from 'vitest'
import { open, stampAt, step, type Given } from './fixture.ts'

/** What the bus tells its readers, and they it. */
export function registerBus(given: Given): void {
  test('each entry names its predecessor, and the first of a generation none', async () => {
    await open(given(), 0, 0n)
    const fences = [['product:1', stampAt(3), 1234] as const]
    await given().writer.advance(step(0n, 1n, { fences }))
    await given().writer.advance(step(1n, 2n))
    await open(given(), 0, 0n, 2)
    const [first, second, third, fourth] = await given().store.bus.read('0-0', 50)
    expect(first).toMatchObject({ predecessor: '', fences: [['*', epochStart(1), 0]], watermark: '', echo: '' })
    expect(second).toMatchObject({ predecessor: first?.nonce, fences })
    expect(third).toMatchObject({ predecessor: second?.nonce, fences: [] })
    expect(fourth).toMatchObject({ predecessor: '', fences: [['*', epochStart(2), 0]] })
    expect(await given().store.bus.attach()).toMatchObject({ nonce: fourth?.nonce, id: fourth?.id })
    expect(await given().store.bus.read(third?.id ?? '', 50)).toEqual([fourth])
  })

  test('an entry carries the watermark that it made true', async () => {
    await given().writer.open({ generation: 1, partition: 0, next: 0n, partitions: 1 })
    const watermark = { stamp: stampAt(4), echo: '77', partitions: 1 }
    await given().writer.advance(step(0n, 1n, { watermark }))
    await given().writer.advance(step(1n, 2n))
    const [, marked, later] = await given().store.bus.read('0-0', 50)
    expect(marked).toMatchObject({ watermark: stampAt(4), echo: '77' })
    expect(later).toMatchObject({ watermark: stampAt(4), echo: '77' })
  })

  test('a waiting reader gets an entry as soon as it is appended', async () => {
    const { busId } = await open(given(), 0, 0n)
    const waiting = given().store.bus.read(busId, 5_000)
    const reply = await given().writer.advance(step(0n, 1n))
    expect((await waiting).map(({ id }) => id)).toEqual([reply.kind === 'applied' ? reply.busId : 'not applied'])
  })

  test('a process reports what it applied with the time of the server, and withdraws', async () => {
    const before = Number((await given().writer.redisTimeUs()) / 1000n)
    expect(await given().store.bus.ack('p1', '5-1')).toBe(1)
    expect(await given().store.bus.ack('p2', '5-1')).toBe(2)
    const ack = JSON.parse((await given().ack('p1')) ?? 'null') as { id: string; at: number }
    expect(ack.id).toBe('5-1')
    expect(ack.at).toBeGreaterThanOrEqual(before)
    expect(ack.at).toBeLessThanOrEqual(Number((await given().store.timeUs()) / 1000n))
    await given().store.bus.withdraw('p1')
    expect(await given().ack('p1')).toBeNull()
  })
}
