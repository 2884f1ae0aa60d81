import { continueTrace, traceLogFields, type LogBatch, type ReceivedRecord } from '@lockstep/runtime'

/** What a line of the log about a record says of it: where it stands, and the trace of the request that it came from. */
export function recordFields({ topic, partition }: LogBatch, { offset, headers }: ReceivedRecord): object {
  return { topic, partition, offset: offset.toString(), ...traceLogFields(continueTrace(headers)) }
}
