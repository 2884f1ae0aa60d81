import { describe, expect, test } from 'vitest'
import { Breaker } from './breaker.ts'

const fault = new Error('no answer')
const no = new Error('no')

function setUp() {
  let now = 0
  const breaker = new Breaker({
    time: { nowMs: () => now },
    failures: 2,
    pauseMs: 1_000,
    refusal: () => new Error('open'),
    isFault: (error) => error === fault,
  })
  const fail = (error = fault) => breaker.run(() => Promise.reject(error)).catch((caught: Error) => caught.message)
  return { breaker, fail, pass: (ms: number) => void (now += ms) }
}

describe('api/protection/breaker', () => {
  test('faults in a row open it: nobody is kept waiting then', async () => {
    const { breaker, fail } = setUp()
    expect([await fail(), breaker.state, await fail(), breaker.state]).toEqual([
      'no answer',
      'closed',
      'no answer',
      'open',
    ])
    expect(await fail()).toBe('open')
  })

  test('a refusal of the dependency is an answer: it does not open', async () => {
    const { breaker, fail } = setUp()
    for (let round = 0; round < 5; round++) await fail(no)
    await fail()
    await fail(no)
    await fail()
    expect(breaker.state).toBe('closed')
  })

  test('after the pause one caller tries for all, and its success closes it', async () => {
    const { breaker, fail, pass } = setUp()
    await fail()
    await fail()
    pass(1_000)
    expect(breaker.state).toBe('half-open')
    const gate = Promise.withResolvers<string>()
    const trial = breaker.run(() => gate.promise)
    expect(await fail()).toBe('open')
    gate.resolve('well')
    expect(await trial).toBe('well')
    expect(breaker.state).toBe('closed')
  })

  test('a trial that fails opens it for another pause', async () => {
    const { breaker, fail, pass } = setUp()
    await fail()
    await fail()
    pass(1_000)
    expect(await fail()).toBe('no answer')
    expect(breaker.state).toBe('open')
    pass(999)
    expect(await fail()).toBe('open')
  })
})
