import { defineErrors } from '@lockstep/runtime'

/** Errors of the demo API: code → disposition, message, what to do. */
export const API_ERRORS = {
  LOCKSTEP_API_UNKNOWN_CATEGORY: {
    disposition: 'poison',
    message: 'the category does not exist',
    remedy: 'Send the id of a category that GET /categories lists.',
  },
  LOCKSTEP_API_NOT_WRITTEN: {
    disposition: 'fatal',
    message: 'the database returned no row for an insert',
    remedy: 'Look for a trigger or rule on the products table that swallows inserts.',
  },
  LOCKSTEP_API_PORT_IN_USE: {
    disposition: 'config',
    message: 'port {port} is in use',
    remedy: 'Stop the process that listens there or set LOCKSTEP_API_PORT to a free port.',
  },
  LOCKSTEP_API_DATABASE_UNREACHABLE: {
    disposition: 'transient',
    message: 'the database did not answer',
    remedy: 'Check that Postgres runs where LOCKSTEP_API_DATABASE_URL says and has connections left.',
  },
  LOCKSTEP_API_LIMITS_UNREACHABLE: {
    disposition: 'transient',
    message: 'the limits in Redis cannot be asked now',
    remedy:
      'Check that Redis runs where LOCKSTEP_REDIS_URL says. Until then reads and writes are limited by each replica alone, and logins are refused.',
  },
} as const

/** Makes an error of this room. */
export const fail = defineErrors('api', API_ERRORS)
