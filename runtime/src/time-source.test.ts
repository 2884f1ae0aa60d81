import { describe, expect, test } from 'vitest'
import { FakeTime } from './testing/fake-time.ts'
import { systemTime } from './time-source.ts'

/** What a promise rejects with; attached at once, so that no rejection goes unhandled meanwhile. */
const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  )

describe.each([
  ['system time', () => ({ time: systemTime, pass: () => Promise.resolve() })],
  ['fake time', () => { const time = new FakeTime(); return { time, pass: (ms: number) => time.advance(ms) } }], // prettier-ignore
] as const)('runtime/time-source: %s', (_name, make) => {
  test('a sleep lasts as long as asked by the monotonic clock', async () => {
    const { time, pass } = make()
    const beganMs = time.nowMs()
    const slept = time.sleep(5)
    await pass(5)
    await slept
    // A timer of Node may fire up to a millisecond early.
    expect(time.nowMs() - beganMs).toBeGreaterThanOrEqual(4)
  })

  test('an abort ends a sleep with its reason', async () => {
    const { time } = make()
    const stop = new AbortController()
    const outcome = failureOf(time.sleep(60_000, stop.signal))
    stop.abort(new Error('stopping'))
    expect(await outcome).toMatchObject({ message: 'stopping' })
  })

  test('an aborted signal keeps a sleep from beginning', async () => {
    await expect(make().time.sleep(60_000, AbortSignal.abort(new Error('stopped')))).rejects.toThrow('stopped')
  })
})

describe('runtime/testing/fake-time', () => {
  test('sleepers wake in order of their due time, each at its own', async () => {
    const time = new FakeTime()
    const woken: [string, number][] = []
    const sleeper = async (name: string, ms: number) => {
      await time.sleep(ms)
      woken.push([name, time.nowMs()])
    }
    const all = [sleeper('late', 20), sleeper('early', 10), sleeper('beyond', 31)]
    await time.advance(30)
    expect(woken).toEqual([['early', 10], ['late', 20]]) // prettier-ignore
    expect([time.sleeping, time.nowMs()]).toEqual([1, 30])
    await time.advance(1)
    await Promise.all(all)
  })

  test('a jump of the wall clock leaves the monotonic one alone', () => {
    const time = new FakeTime(1_000)
    time.jumpWall(-500)
    expect([time.wallMs(), time.nowMs()]).toEqual([500, 0])
  })
})
