import type { CacheContext } from './context.ts'
import type { Breaker } from './breaker.ts'
import { CacheError } from './errors.ts'

/** Whose load it is, and how long it may run. */
export interface LoadBounds {
  readonly name: string
  readonly loadTimeoutMs: number
  readonly breaker: Breaker
}

/**
 * Runs a loader in its turn and within `loadTimeoutMs`. A loader that ignores its signal runs on beyond that, outside the
 * admission limit. @throws CacheError when overloaded, late or stopped, else what the loader throws.
 */
export function runLoader<T>(
  context: CacheContext,
  bounds: LoadBounds,
  load: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return bounds.breaker.run(() => admitted(context, bounds, load), isLoadersFault)
}

/** Neither a queue that is full nor a stop says anything of the loader. */
function isLoadersFault(error: unknown): boolean {
  return !(error instanceof CacheError) || error.code === 'LOCKSTEP_CACHE_LOAD_TIMEOUT'
}

function admitted<T>(context: CacheContext, bounds: LoadBounds, load: (signal: AbortSignal) => Promise<T>): Promise<T> {
  return context.admission.run(async () => {
    context.counters.loads += 1
    const work: Work = { wake: new AbortController(), late: new AbortController(), isSettled: false }
    // A listener of its own: AbortSignal.any on a signal that outlives every load made each load slower than the last.
    const stop = (): void => work.wake.abort(SETTLED)
    context.signal.addEventListener('abort', stop)
    try {
      return await Promise.race([load(work.late.signal), giveUp(context, bounds, work)])
    } finally {
      work.isSettled = true
      work.wake.abort(SETTLED)
      context.signal.removeEventListener('abort', stop)
    }
  })
}

// One for all: without a reason every abort builds a DOMException with a stack, a few percent of a busy process.
const SETTLED = new Error('the load has settled')

interface Work {
  /** Ends the wait for the timeout. */
  readonly wake: AbortController
  /** What the loader is told. */
  readonly late: AbortController
  isSettled: boolean
}

/** Rejects, and aborts the loader, at the timeout or when the cache stops; never settles after the load has. */
async function giveUp(context: CacheContext, { name, loadTimeoutMs }: LoadBounds, work: Work): Promise<never> {
  const { clock, signal } = context
  if (!signal.aborted) await clock.sleep(loadTimeoutMs, work.wake.signal)
  if (work.isSettled) return new Promise<never>(() => undefined)
  const error = signal.aborted
    ? new CacheError('LOCKSTEP_CACHE_STOPPED', 'the cache stopped during a load')
    : new CacheError(
        'LOCKSTEP_CACHE_LOAD_TIMEOUT',
        `${name}: no answer within ${loadTimeoutMs} ms, look for slow queries`,
      )
  work.late.abort(error)
  throw error
}
