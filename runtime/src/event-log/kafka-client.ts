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

// kafkajs' default of 1 s is too tight for TLS across zones.
const CONNECTION_TIMEOUT_MS = 5_000
// Above the producer's own 10 s, so that the broker's answer decides.
const REQUEST_TIMEOUT_MS = 15_000
// A wrong address must show within 10 s of a start.
const ANSWER_WITHIN_MS = 8_000

/** Builds the client that producers, consumers and admins of one service share. */
export function createClient(connection: KafkaConnection, retries: number): Kafka {
  silenceNegativeTimers()
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

const CONNECTION_FAULTS = new Set(['KafkaJSConnectionError', 'KafkaJSNoBrokerAvailableError', 'KafkaJSBrokerNotFound'])

function isConnectionFault(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return CONNECTION_FAULTS.has(error.name) || isConnectionFault(error.cause)
}

let isSilenced = false

// kafkajs 2.2.4 computes a negative delay for its throttle check (its issue 1751); Node sets it to 1 ms and says so once
// per process. Only that warning, and only when it comes from there, is dropped.
function silenceNegativeTimers(): void {
  if (isSilenced) return
  isSilenced = true
  const emitWarning = process.emitWarning.bind(process) as (...args: unknown[]) => void
  process.emitWarning = (...args: unknown[]): void => {
    if (args[1] === 'TimeoutNegativeWarning' && new Error('origin').stack?.includes('node_modules/kafkajs/') === true)
      return
    emitWarning(...args)
  }
}
