import { defineErrors, type ErrorTable } from '../errors.ts'

/** Lists everything the event log can fail with. */
export const LOG_ERRORS = {
  LOCKSTEP_LOG_CLOSED: {
    disposition: 'aborted',
    message: 'the event log is closed',
    remedy: 'Open a new one to go on.',
  },
  LOCKSTEP_LOG_PARTITION: {
    disposition: 'config',
    message: 'topic {topic} has no partition {partition}',
    remedy: 'Compare the partition count of the topic with the one that the producer assumes.',
  },
  LOCKSTEP_LOG_TOPIC: {
    disposition: 'config',
    message: 'topics are not as required: {faults}',
    remedy: 'Create them, or set the partition counts that they have.',
  },
  LOCKSTEP_LOG_UNREACHABLE: {
    disposition: 'transient',
    message: 'no Kafka broker of {brokers} answers',
    remedy: 'Check the addresses (LOCKSTEP_KAFKA_BROKERS) and that the advertised listeners can be reached from here.',
  },
  LOCKSTEP_LOG_PRODUCE: {
    disposition: 'transient',
    message: 'it is unknown whether the records were appended: {reason}',
    remedy: 'They are sent again; if it lasts, check the brokers and the in-sync replicas.',
  },
  LOCKSTEP_LOG_RECORD: {
    disposition: 'poison',
    message: 'a record of {bytes} bytes for topic {topic} exceeds {limit}',
    remedy: 'Name fewer or shorter columns in the rules of its table.',
  },
  LOCKSTEP_LOG_CONSUMER: {
    disposition: 'fatal',
    message: 'the consumer of {topic} in group {group} ended: {reason}',
    remedy: 'Restart the service; if it comes back, check the permissions and the health of the brokers.',
  },
  LOCKSTEP_LOG_STALLED: {
    disposition: 'fatal',
    message: 'records wait in {topic} but none reached group {group} for {seconds} s',
    remedy: 'Restart the service and check the health of the brokers.',
  },
} as const satisfies ErrorTable

/** Makes an error of the event log; the context fills its message and must not hold payloads. */
export const logError = defineErrors('LOG', LOG_ERRORS)

/** Tells in a few words what an unknown error was. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}
