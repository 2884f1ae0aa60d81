import type { Breaker } from './breaker.ts'
import type { CacheContext } from './context.ts'
import type { Deadlines } from './deadlines.ts'
import { CacheError } from './errors.ts'

/** Whose load it is, and how long it may run. */
export interface LoadBounds {
  readonly name: string
  readonly deadlines: Deadlines
  readonly breaker: Breaker
}

/**
 * Runs a loader in its turn and within its time. A loader that ignores its signal runs on beyond that, outside the
 * admission limit. @throws CacheError when overloaded, late or stopped, else what the loader throws.
 */
export function runLoader<T>(context: CacheContext, bounds: LoadBounds, load: (late: Late) => Promise<T>): Promise<T> {
  return bounds.breaker.run(() => context.admission.run(() => bounded(context, bounds, load)), isLoadersFault)
}

/** Neither a queue that is full nor a stop says anything of the loader. */
function isLoadersFault(error: unknown): boolean {
  return !(error instanceof CacheError) || error.code === 'LOCKSTEP_CACHE_LOAD_TIMEOUT'
}

/** Tells a loader that nobody waits for it any more. */
export class Late {
  #controller: AbortController | null = null
  #reason: CacheError | null = null

  /** Made when it is first asked for: most loaders never do, and a controller per load is a few percent of a busy process. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#reason) this.#controller.abort(this.#reason)
    return this.#controller.signal
  }

  abort(reason: CacheError): void {
    this.#reason = reason
    this.#controller?.abort(reason)
  }
}

function bounded<T>(
  context: CacheContext,
  { name, deadlines }: LoadBounds,
  load: (late: Late) => Promise<T>,
): Promise<T> {
  context.counters.loads += 1
  return new Promise<T>((resolve, reject) => {
    const late = new Late()
    const settle = deadlines.begin((isStopped) => {
      const error = isStopped
        ? new CacheError('LOCKSTEP_CACHE_STOPPED', 'the cache stopped during a load')
        : new CacheError(
            'LOCKSTEP_CACHE_LOAD_TIMEOUT',
            `${name}: no answer within ${deadlines.ms} ms, look for slow queries`,
          )
      late.abort(error)
      reject(error)
    })
    load(late).then(resolve, reject).finally(settle)
  })
}
