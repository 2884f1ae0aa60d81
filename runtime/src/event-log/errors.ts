import { LockstepError } from '../errors.ts'

/** Everything the event log can fail with: disposition, and the sentence that names cause and remedy. */
export const LOG_ERRORS = {
  LOCKSTEP_LOG_CLOSED: {
    disposition: 'aborted',
    message: 'the event log is closed; open a new one to go on',
  },
  LOCKSTEP_LOG_PARTITION: {
    disposition: 'config',
    message: 'the record names a partition that its topic does not have; check the partition count of the topic',
  },
  LOCKSTEP_LOG_TOPIC: {
    disposition: 'config',
    message: 'the topic is missing or has another partition count; create it, or set the count that it has',
  },
  LOCKSTEP_LOG_UNREACHABLE: {
    disposition: 'transient',
    message: 'no Kafka broker answers; check the broker addresses and that their advertised listeners are reachable',
  },
  LOCKSTEP_LOG_PRODUCE: {
    disposition: 'transient',
    message: 'whether the records were appended is unknown; send them again',
  },
  LOCKSTEP_LOG_RECORD: {
    disposition: 'poison',
    message: 'the broker refuses the record for good; check its size against max.message.bytes of the topic',
  },
  LOCKSTEP_LOG_CONSUMER: {
    disposition: 'fatal',
    message: 'the consumer ended and cannot go on by itself; restart the service',
  },
  LOCKSTEP_LOG_STALLED: {
    disposition: 'fatal',
    message: 'records wait but none arrive; restart the service and check the health of the brokers',
  },
} as const

/** Names one of the event log's errors. */
export type LogErrorCode = keyof typeof LOG_ERRORS

/** Builds an error of the table; `detail` is appended to its message and must not hold payloads. */
export function logError(
  code: LogErrorCode,
  detail: string,
  more: { cause?: unknown; context?: Record<string, unknown> } = {},
): LockstepError {
  const { disposition, message } = LOG_ERRORS[code]
  return new LockstepError(code, detail === '' ? message : `${message} (${detail})`, { disposition, ...more })
}
