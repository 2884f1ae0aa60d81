import { defineErrors } from '@lockstep/runtime'

/** Errors of the demo API: code → disposition, message, what to do. */
export const API_ERRORS = {
  LOCKSTEP_API_UNKNOWN_CATEGORY: {
    disposition: 'poison',
    message: 'the category does not exist',
    remedy: 'Send the id of a category that GET /categories lists.',
  },
  LOCKSTEP_API_UNKNOWN_PRODUCT: {
    disposition: 'poison',
    message: 'the product does not exist',
    remedy: 'Send the id of a product that GET /products/ID answers.',
  },
  LOCKSTEP_API_CONTENDED: {
    disposition: 'transient',
    message: 'another transaction was in the way',
    remedy: 'Send the request again; where it goes on, look for long transactions in pg_stat_activity.',
  },
  LOCKSTEP_API_LOG_UNREACHABLE: {
    disposition: 'transient',
    message: 'the log did not take the record',
    remedy: 'Check the brokers (LOCKSTEP_KAFKA_BROKERS), and that `lockstep shop-worker` has made the topics.',
  },
  LOCKSTEP_API_NO_READ_MODEL: {
    disposition: 'transient',
    message: 'the read model of the bestsellers is not there',
    remedy: 'Start `lockstep shop-worker` with the role projection; it builds what is missing.',
  },
  LOCKSTEP_API_VIEW_UNREADABLE: {
    disposition: 'poison',
    message: 'a record of shop-views is no product id',
    remedy: 'It is in shop-dead-letters: look for who else writes to the topic.',
  },
  LOCKSTEP_API_ORDER_UNREADABLE: {
    disposition: 'poison',
    message: 'a record of shop-orders is no order id',
    remedy: 'It is in shop-dead-letters: look for who else writes to the topic.',
  },
  LOCKSTEP_API_UNKNOWN_ORDER: {
    disposition: 'poison',
    message: 'a record of shop-orders names an order that does not exist',
    remedy: 'It is in shop-dead-letters: look whether the database was restored from before the order.',
  },
  LOCKSTEP_API_ORDER_FAILED: {
    disposition: 'poison',
    message: 'an order could not be decided',
    remedy: 'It is marked failed, and in shop-dead-letters with the reason of the last attempt.',
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
  LOCKSTEP_API_DATABASE_BUSY: {
    disposition: 'transient',
    message: 'the database has more to do than it can in time',
    remedy:
      'Send the request again a second later; where it goes on, add a replica or connections (LOCKSTEP_API_DATABASE_CONNECTIONS).',
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
