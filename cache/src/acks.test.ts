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
})
