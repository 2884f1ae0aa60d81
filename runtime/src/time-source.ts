/** The clocks of a process, and how it waits. Injected, so that tests need no sleeping. */
export interface TimeSource {
  /** Monotonic, for durations. */
  nowMs(): number
  /** Since the Unix epoch with fractions, for measuring against Postgres' commit times on one machine; never for correctness. */
  wallMs(): number
  /** Resolves after `ms`, or rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** The real clocks. */
export const systemTime: TimeSource = {
  nowMs: () => performance.now(),
  wallMs: () => performance.timeOrigin + performance.now(),
  sleep: (ms, signal) =>
    new Promise<void>((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason as Error)
        return
      }
      const onAbort = () => {
        clearTimeout(timer)
        reject(signal?.reason as Error)
      }
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }, ms)
      signal?.addEventListener('abort', onAbort, { once: true })
    }),
}
