import type { CacheContext } from './context.ts'
import { CacheError } from './errors.ts'

/**
 * Runs a loader in its turn and within `loadTimeoutMs`. A loader that ignores its signal runs on beyond that, outside the
 * admission limit. @throws CacheError when overloaded, late or stopped, else what the loader throws.
 */
export function runLoader<T>(
  context: CacheContext,
  name: string,
  load: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return context.admission.run(async () => {
    context.counters.loads += 1
    const settled = new AbortController()
    const late = new AbortController()
    try {
      return await Promise.race([load(late.signal), giveUp(context, name, { settled: settled.signal, late })])
    } finally {
      settled.abort()
    }
  })
}

/** Rejects, and aborts the loader, at the timeout or when the cache stops; never settles after the load has. */
async function giveUp(
  context: CacheContext,
  name: string,
  signals: { readonly settled: AbortSignal; readonly late: AbortController },
): Promise<never> {
  const { clock, limits, signal } = context
  await clock.sleep(limits.loadTimeoutMs, AbortSignal.any([signals.settled, signal]))
  if (signals.settled.aborted) return new Promise<never>(() => undefined)
  const error = signal.aborted
    ? new CacheError('LOCKSTEP_CACHE_STOPPED', 'the cache stopped during a load')
    : new CacheError(
        'LOCKSTEP_CACHE_LOAD_TIMEOUT',
        `${name}: no answer within ${limits.loadTimeoutMs} ms, look for slow queries`,
      )
  signals.late.abort(error)
  throw error
}
