import { systemTime, type TimeSource } from './time-source.ts'

/** Exponential growth with full jitter. Milliseconds. */
export interface BackoffPolicy {
  readonly initialMs: number
  readonly maxMs: number
  /** 0 ≤ x < 1. */
  readonly random?: (() => number) | undefined
}

/** Hands out the next delay; `reset` after a success. */
export interface Backoff {
  nextDelay(): number
  reset(): void
}

/** Doubles the ceiling from `initialMs` to `maxMs` and draws each delay uniformly below it, so that peers spread out. */
export function backoff({ initialMs, maxMs, random = Math.random }: BackoffPolicy): Backoff {
  let ceilingMs = initialMs
  return {
    nextDelay() {
      const delayMs = random() * ceilingMs
      ceilingMs = Math.min(ceilingMs * 2, maxMs)
      return delayMs
    },
    reset() {
      ceilingMs = initialMs
    },
  }
}

const sleepReally: TimeSource['sleep'] = (ms, signal) => systemTime.sleep(ms, signal)

/** How often and for what `retry` tries again. */
export interface RetryOptions {
  readonly policy: BackoffPolicy
  readonly signal?: AbortSignal | undefined
  /** Default: every error. */
  readonly isRetriable?: ((error: unknown) => boolean) | undefined
  /** Default: no bound. */
  readonly maxAttempts?: number | undefined
  readonly onRetry?: ((error: unknown, delayMs: number) => void) | undefined
  readonly sleep?: TimeSource['sleep'] | undefined
}

/** Calls `work` until it resolves. Rejects with its last error, or with the signal's reason. */
export async function retry<T>(work: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const { policy, signal, isRetriable = () => true, maxAttempts = Infinity, onRetry, sleep = sleepReally } = options
  const delays = backoff(policy)
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted()
    try {
      return await work(attempt)
    } catch (error) {
      if (attempt >= maxAttempts || !isRetriable(error)) throw error
      const delayMs = delays.nextDelay()
      onRetry?.(error, delayMs)
      await sleep(delayMs, signal)
    }
  }
}

// One for all: an abort without a reason builds a DOMException with a stack.
const SETTLED = new Error('the work settled in time')

/** How long to wait for something. */
export interface TimeoutOptions {
  readonly ms: number
  readonly onTimeout: () => Error
  readonly signal?: AbortSignal | undefined
  readonly sleep?: TimeSource['sleep'] | undefined
}

/**
 * Rejects with `onTimeout()` when `work` has not settled within `ms`, or with the signal's reason. The signal that
 * `work` gets is aborted with the same reason, so that it can give up too.
 */
export async function withTimeout<T>(work: (signal: AbortSignal) => Promise<T>, options: TimeoutOptions): Promise<T> {
  const { ms, onTimeout, signal, sleep = sleepReally } = options
  signal?.throwIfAborted()
  const over = new AbortController()
  const waiting = new AbortController()
  // A listener of its own: signals made by AbortSignal.any survive every minor collection, with all they reach.
  const giveUp = (): void => waiting.abort(signal?.reason)
  signal?.addEventListener('abort', giveUp, { once: true })
  const late = sleep(ms, waiting.signal).then(() => Promise.reject(onTimeout()))
  // Loses the race whenever the work settles first; its rejection is then nobody's business.
  late.catch((reason: unknown) => reason === SETTLED || over.abort(reason))
  try {
    return await Promise.race([work(over.signal), late])
  } finally {
    signal?.removeEventListener('abort', giveUp)
    waiting.abort(SETTLED)
  }
}
