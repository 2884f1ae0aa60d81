import type { CacheClock } from './types.ts'

/** Waits in real time; ends early, without an error, when the signal aborts. */
function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const done = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    timer.unref()
    signal?.addEventListener('abort', done)
  })
}

/** The clocks of this machine. */
export const systemClock: CacheClock = { now: () => performance.now(), wall: () => Date.now(), sleep }
