import { describe, expect, test } from 'vitest'
import { Acks } from './acks.ts'
import { FakeClock, settle } from './testing/fake-clock.ts'

describe('cache/acks', () => {
  test.each([
    [1, 1],
    [4, 2],
    [1_000, 5],
  ])('of %d processes each acknowledges every %d ms at most', async (processes, everyMs) => {
    const clock = new FakeClock()
    const acked: number[] = []
    const bus = {
      ack: () => Promise.resolve(acked.push(clock.now()) && processes),
      withdraw: () => Promise.resolve(),
    }
    const acks = new Acks({ bus, processId: 'p', clock, failed: () => undefined })
    acks.start()
    for (let ms = 0; ms < 100; ms++) {
      acks.applied(`${ms}-0`)
      await settle()
      await clock.advance(1)
    }
    const gaps = acked.slice(2).map((at, index) => at - (acked[index + 1] ?? 0))
    expect(new Set(gaps)).toEqual(new Set([everyMs]))
    const stopping = acks.stop()
    await clock.advance(10)
    await stopping
  })

  test('of entries that are applied together only the last is acknowledged, and later as a sign of life every 100 ms', async () => {
    const clock = new FakeClock()
    const acked: [string, number][] = []
    const bus = {
      ack: (_process: string, id: string) => Promise.resolve(acked.push([id, clock.now()]) && 1),
      withdraw: () => Promise.resolve(),
    }
    const acks = new Acks({ bus, processId: 'p', clock, failed: () => undefined })
    acks.start()
    const began = clock.now()
    for (const id of ['1-0', '2-0', '3-0']) acks.applied(id)
    for (let ms = 0; ms < 250; ms++) {
      await settle()
      await clock.advance(1)
    }
    expect(acked.map(([id, at]) => [id, at - began])).toEqual([
      ['3-0', 0],
      ['3-0', 100],
      ['3-0', 200],
    ])
    await acks.stop()
  })
})
