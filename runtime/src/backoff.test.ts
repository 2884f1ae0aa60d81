import { describe, expect, test } from 'vitest'
import { backoff, retry, withTimeout } from './backoff.ts'
import { FakeTime } from './testing/fake-time.ts'

/** What a promise rejects with; attached at once, so that no rejection goes unhandled meanwhile. */
const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  )

const policy = { initialMs: 100, maxMs: 1_000, random: () => 0.5 }

/** A time source whose sleeps end at once, and what was slept. */
function instantSleep() {
  const slept: number[] = []
  const sleep = (ms: number): Promise<void> => {
    slept.push(ms)
    return Promise.resolve()
  }
  return { slept, sleep }
}

describe('runtime/backoff', () => {
  test('the ceiling doubles up to its bound and starts over after a reset', () => {
    const delays = backoff(policy)
    expect(Array.from({ length: 6 }, () => delays.nextDelay())).toEqual([50, 100, 200, 400, 500, 500])
    delays.reset()
    expect(delays.nextDelay()).toBe(50)
  })

  test('a delay is drawn from the whole range below the ceiling', () => {
    expect(backoff({ ...policy, random: () => 0 }).nextDelay()).toBe(0)
    expect(backoff({ ...policy, random: () => 0.999 }).nextDelay()).toBeCloseTo(99.9)
  })

  test('retry answers the first success and reports each failure before it waits', async () => {
    const { slept, sleep } = instantSleep()
    const seen: unknown[] = []
    const work = (attempt: number) =>
      attempt < 3 ? Promise.reject(new Error(`no ${attempt}`)) : Promise.resolve(attempt)
    const onRetry = (error: unknown, delayMs: number) => seen.push([(error as Error).message, delayMs])
    expect(await retry(work, { policy, sleep, onRetry })).toBe(3)
    expect(slept).toEqual([50, 100])
    expect(seen).toEqual([['no 1', 50], ['no 2', 100]]) // prettier-ignore
  })

  test('retry gives up at its bound and at once for what cannot succeed', async () => {
    const { slept, sleep } = instantSleep()
    const work = () => Promise.reject(new Error('no'))
    await expect(retry(work, { policy, sleep, maxAttempts: 3 })).rejects.toThrow('no')
    expect(slept).toHaveLength(2)
    await expect(retry(work, { policy, sleep, isRetriable: () => false })).rejects.toThrow('no')
    expect(slept).toHaveLength(2)
  })

  test('an abort ends the wait between attempts with its reason', async () => {
    const time = new FakeTime()
    const stop = new AbortController()
    let attempts = 0
    const work = () => {
      attempts += 1
      return Promise.reject(new Error('no'))
    }
    const done = retry(work, { policy, signal: stop.signal, sleep: (ms, signal) => time.sleep(ms, signal) })
    const outcome = failureOf(done)
    await time.advance(49)
    stop.abort(new Error('stopping'))
    expect(await outcome).toMatchObject({ message: 'stopping' })
    expect(attempts).toBe(1)
  })

  test('an aborted signal keeps work from being tried at all', async () => {
    let attempts = 0
    const work = () => Promise.resolve((attempts += 1))
    await expect(retry(work, { policy, signal: AbortSignal.abort() })).rejects.toThrow('abort')
    expect(attempts).toBe(0)
  })

  test('work that takes too long is told to give up, work that settles leaves no timer', async () => {
    const time = new FakeTime()
    const options = { ms: 100, onTimeout: () => new Error('too long'), sleep: time.sleep.bind(time) }
    let given: AbortSignal | undefined
    const never = (signal: AbortSignal) => {
      given = signal
      return new Promise<never>(() => undefined)
    }
    const outcome = failureOf(withTimeout(never, options))
    await time.advance(100)
    expect(await outcome).toMatchObject({ message: 'too long' })
    expect(given?.aborted).toBe(true)
    expect(await withTimeout(() => Promise.resolve(7), options)).toBe(7)
    expect(time.sleeping).toBe(0)
  })

  test('the caller may end the wait before the time is over', async () => {
    const time = new FakeTime()
    const stop = new AbortController()
    const never = () => new Promise<never>(() => undefined)
    const options = {
      ms: 100,
      onTimeout: () => new Error('too long'),
      signal: stop.signal,
      sleep: time.sleep.bind(time),
    }
    const outcome = failureOf(withTimeout(never, options))
    stop.abort(new Error('stopping'))
    expect(await outcome).toMatchObject({ message: 'stopping' })
  })
})
