import { describe, expect, test } from 'vitest'
import { Deadlines } from './deadlines.ts'
import { FakeClock, settle } from './testing/fake-clock.ts'

describe('cache/deadlines', () => {
  function begun() {
    const clock = new FakeClock()
    const stopping = new AbortController()
    const expired: string[] = []
    const deadlines = new Deadlines(100, clock, stopping.signal)
    const begin = (name: string) => deadlines.begin((isStopped) => expired.push(isStopped ? `${name} stopped` : name))
    return { clock, stopping, expired, begin }
  }

  test('each ends in its own time, and what was done before does not', async () => {
    const { clock, expired, begin } = begun()
    begin('a')
    await clock.advance(40)
    const done = begin('b')
    begin('c')
    done()
    await clock.advance(59)
    expect(expired).toEqual([])
    await clock.advance(1)
    expect(expired).toEqual(['a'])
    await clock.advance(39)
    expect(expired).toEqual(['a'])
    await clock.advance(1)
    expect(expired).toEqual(['a', 'c'])
    begin('d')
    await clock.advance(100)
    expect(expired).toEqual(['a', 'c', 'd'])
  })

  test('a stop ends all at once, and what begins behind it', async () => {
    const { stopping, expired, begin } = begun()
    begin('a')
    begin('b')
    stopping.abort()
    await settle()
    expect(expired).toEqual(['a stopped', 'b stopped'])
    begin('c')
    expect(expired).toEqual(['a stopped', 'b stopped', 'c stopped'])
  })
})
