/** What a caller may do about an error; the same words as in `runtime/`, which this library does not import. */
export type CacheErrorDisposition = 'transient' | 'fatal' | 'config' | 'aborted'

/** Codes of this room with their disposition, cause and remedy; the table that docs are generated from. */
export const CACHE_ERRORS = {
  LOCKSTEP_CACHE_OVERLOADED: {
    disposition: 'transient',
    cause: 'more loads wait for the database than may run, longer than loadQueueMs',
    remedy: 'answer 503 with Retry-After; raise maxConcurrentLoads only if the database has room',
  },
  LOCKSTEP_CACHE_REDIS: {
    disposition: 'transient',
    cause: 'a Redis command failed or took longer than commandTimeoutMs',
    remedy: 'check that Redis answers; reads go on without it',
  },
  LOCKSTEP_CACHE_BREAKER_OPEN: {
    disposition: 'transient',
    cause: 'several Redis commands failed in a row, so the next ones are not even sent',
    remedy: 'check that Redis answers; the breaker closes by itself',
  },
  LOCKSTEP_CACHE_LOADER_DOWN: {
    disposition: 'transient',
    cause: "an entry's last loads all failed, so for a moment the next ones are not even tried",
    remedy: 'look at the error of the loads before; one load at a time finds out whether they succeed again',
  },
  LOCKSTEP_CACHE_LOAD_TIMEOUT: {
    disposition: 'transient',
    cause: 'a loader ran longer than loadTimeoutMs',
    remedy: 'look for slow queries; a loader should honour its signal',
  },
  LOCKSTEP_CACHE_CONFIG: {
    disposition: 'config',
    cause: 'an option, an entry definition or a tag is not acceptable',
    remedy: 'correct what the message names',
  },
  LOCKSTEP_CACHE_STOPPED: {
    disposition: 'aborted',
    cause: 'the cache was stopped while a read waited',
    remedy: 'none: the process is shutting down',
  },
} as const satisfies Record<string, { disposition: CacheErrorDisposition; cause: string; remedy: string }>

/** One of this room's error codes. */
export type CacheErrorCode = keyof typeof CACHE_ERRORS

/** Says what went wrong in the cache; `disposition` decides the handling, no `instanceof` ladder is needed. */
export class CacheError extends Error {
  readonly code: CacheErrorCode
  readonly disposition: CacheErrorDisposition

  constructor(code: CacheErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.name = 'CacheError'
    this.code = code
    this.disposition = CACHE_ERRORS[code].disposition
  }
}
