/** How an error is handled: retried, dead-lettered, ends the stage, ends the start, or normal shutdown. */
export type Disposition = 'transient' | 'poison' | 'fatal' | 'config' | 'aborted'

/** Carries a stable code and the way it is handled. */
export class LockstepError extends Error {
  readonly code: `LOCKSTEP_${string}`
  readonly disposition: Disposition
  readonly context: Record<string, unknown>

  constructor(
    code: `LOCKSTEP_${string}`,
    message: string,
    options: { disposition: Disposition; context?: Record<string, unknown>; cause?: unknown },
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'LockstepError'
    this.code = code
    this.disposition = options.disposition
    this.context = options.context ?? {}
  }
}
