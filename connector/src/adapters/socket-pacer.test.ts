import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { SocketPacer } from './socket-pacer.ts'

function open() {
  const calls: string[] = []
  const pacer = new SocketPacer({ pause: () => calls.push('pause'), resume: () => calls.push('resume') })
  /** A chunk per ms. */
  const receive = (bytes: number, from: number, to: number): void => {
    for (let ms = from; ms < to; ms++) pacer.received(bytes, ms)
  }
  return { calls, pacer, receive }
}

describe('connector/socket-pacer', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'setImmediate'] }))
  afterEach(() => void vi.useRealTimers())

  test('a stream of ordinary load is read as it comes', () => {
    const { calls, receive } = open()
    receive(1_000, 100, 200)
    vi.runAllTimers()
    expect(calls).toEqual([])
  })

  test('while much arrives reading rests a moment after each gulp, and goes on as it comes when less does', () => {
    const { calls, receive } = open()
    receive(65_536, 100, 120)
    vi.runAllTimers()
    expect(calls).toEqual(['pause', 'resume'])
    receive(100, 120, 200)
    vi.runAllTimers()
    calls.length = 0
    receive(100, 200, 300)
    vi.runAllTimers()
    expect(calls).toEqual([])
  })

  test('a pause asked for meanwhile outlasts the rest', () => {
    const { calls, pacer, receive } = open()
    receive(65_536, 100, 120)
    pacer.setPaused(true)
    vi.runAllTimers()
    expect(calls).toEqual(['pause', 'pause'])
    pacer.setPaused(false)
    expect(calls.at(-1)).toBe('resume')
  })
})
