import { describe, expect, test, vi } from 'vitest'
import { systemClock } from './clock.ts'
import { Freshness } from './freshness.ts'
import { FakeClock } from './testing/fake-clock.ts'
import { Turn } from './turn.ts'

describe('cache/turn', () => {
  test('with a clock of its own every read looks at it', async () => {
    const clock = new FakeClock()
    const turn = new Turn(clock, new Freshness(clock))
    const before = turn.now()
    await clock.advance(5)
    expect(turn.now()).toBe(before + 5)
  })

  test('reads of one turn share a look, the next callback of the loop looks again', async () => {
    const now = vi.spyOn(systemClock, 'now')
    try {
      const turn = new Turn(systemClock, new Freshness(systemClock))
      const looks = (): number => now.mock.calls.length
      turn.now()
      const first = looks()
      for (let n = 0; n < 20; n++) turn.now()
      await Promise.resolve()
      expect(looks()).toBe(first)
      await new Promise((resolve) => setImmediate(resolve))
      turn.now()
      expect(looks()).toBe(first + 1)
    } finally {
      now.mockRestore()
    }
  })

  test('a turn that goes on for long looks again, so that time passes in it', () => {
    const turn = new Turn(systemClock, new Freshness(systemClock))
    const begun = turn.now()
    const end = performance.now() + 5
    while (performance.now() < end);
    for (let n = 0; n < 40; n++) turn.now()
    expect(turn.now()).toBeGreaterThanOrEqual(begun + 5)
  })
})
