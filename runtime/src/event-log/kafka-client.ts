import { createRequire } from 'node:module'
import { Kafka, logLevel, type KafkaConfig } from 'kafkajs'
import { silentLogger, type Logger } from '../log.ts'
import { logError } from './errors.ts'

/** Says how to reach the brokers and what the names of this installation begin with. */
export interface KafkaConnection {
  readonly brokers: readonly string[]
  /** Prefix of topics and groups: `NAMESPACE.changes`. */
  readonly namespace: string
  readonly clientId: string
  readonly ssl?: KafkaConfig['ssl'] | undefined
  readonly logger?: Logger | undefined
}

// kafkajs' default of 1 s is too tight for TLS across zones; a broker that is gone with its address holds everything up for so long.
const CONNECTION_TIMEOUT_MS = 2_000
// Above the producer's own 10 s, so that the broker's answer decides.
const REQUEST_TIMEOUT_MS = 15_000
// A wrong address must show within 10 s of a start.
const ANSWER_WITHIN_MS = 8_000

/** Builds the client that producers, consumers and admins of one service share. */
export function createClient(connection: KafkaConnection, retries: number): Kafka {
  const { brokers, clientId, ssl, logger = silentLogger } = connection
  return new Kafka({
    brokers: [...brokers],
    clientId,
    ...(ssl === undefined ? {} : { ssl }),
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    retry: { initialRetryTime: 100, maxRetryTime: 2_000, retries },
    logLevel: logLevel.WARN,
    // What needs an operator reaches the caller as an error and is logged there: these lines only add detail.
    logCreator: () => {
      return ({ level, namespace, log: { message, ...fields } }) => {
        const detail = { stage: `kafka ${namespace}`, ...fields }
        if (level === logLevel.ERROR) logger.warn(detail, message)
        else logger.debug(detail, message)
      }
    },
  })
}

/** Bounds a request that kafkajs could go on retrying. @throws LOCKSTEP_LOG_UNREACHABLE naming the brokers. */
export async function answerOf<T>(connection: KafkaConnection, request: Promise<T>): Promise<T> {
  const unreachable = (cause?: unknown) =>
    logError('LOCKSTEP_LOG_UNREACHABLE', { brokers: connection.brokers.join(', ') }, cause)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(unreachable()), ANSWER_WITHIN_MS)
  })
  try {
    return await Promise.race([request, late])
  } catch (error) {
    throw isConnectionFault(error) ? unreachable(error) : error
  } finally {
    clearTimeout(timer)
  }
}

const CONNECTION_FAULTS = new Set([
  'KafkaJSConnectionError',
  'KafkaJSNoBrokerAvailableError',
  'KafkaJSBrokerNotFound',
  // Also where the brokers cannot be asked for it.
  'KafkaJSGroupCoordinatorNotFound',
])

/** Tells whether it was the connection that failed, or what it leads to. */
export function isConnectionFault(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return CONNECTION_FAULTS.has(error.name) || isConnectionFault(error.cause)
}

interface RequestQueue {
  readonly pending: readonly unknown[]
  scheduleCheckPendingRequests: (this: RequestQueue) => void
}

const { prototype: queue } = createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as {
  readonly prototype: RequestQueue
}
const schedule = queue.scheduleCheckPendingRequests

// kafkajs 2.2.4 checks every connection's queue a thousand times a second from its first answer on, by timers whose negative
// delay Node warns of (its issue 1751). Without requests that wait there is nothing to check: whoever adds one schedules.
queue.scheduleCheckPendingRequests = function (): void {
  if (this.pending.length > 0) schedule.call(this)
}
