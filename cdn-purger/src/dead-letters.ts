import { backoff, TOPICS } from '@lockstep/runtime'
import type { EventLog, Logger, TimeSource } from '@lockstep/runtime'
import { encodeEvent } from '@lockstep/schemas'
import { CDN_ERRORS } from './errors.ts'
import type { PurgerMetrics } from './metrics.ts'
import type { RecordPosition } from './purge.ts'

/** Why a record cannot be purged, and its bytes. */
export interface Rejected {
  readonly code: 'LOCKSTEP_CDN_UNDECODABLE' | 'LOCKSTEP_CDN_KEY_REFUSED'
  readonly detail: string
  readonly source: RecordPosition
  readonly payload: Buffer
}

/** What the dead letters need. */
export interface DeadLetterDeps {
  readonly log: Pick<EventLog, 'produce'>
  readonly time: TimeSource
  readonly random: () => number
  readonly logger: Logger
  readonly metrics: PurgerMetrics
}

// The log is our own: it answers within ms or is down for seconds.
const RETRY = { initialMs: 50, maxMs: 2_000 }

/** Writes a record to the dead-letter topic, trying until the log has it. Rejects only when `signal` aborts. */
export async function writeDeadLetter(deps: DeadLetterDeps, rejected: Rejected, signal: AbortSignal): Promise<void> {
  const { code, detail, source, payload } = rejected
  const { log, time, random, logger, metrics } = deps
  const message = `${CDN_ERRORS[code].message}: ${detail}`
  const letter = encodeEvent({ kind: 'dead-letter', code, message, topic: TOPICS.purges, ...source, payload })
  const delays = backoff({ ...RETRY, random })
  for (;;) {
    signal.throwIfAborted()
    try {
      await log.produce(TOPICS.deadLetters, [{ key: null, value: letter }])
      metrics.deadLettered(code)
      return logger.error({ code, detail, ...source }, 'purge command put aside as a dead letter')
    } catch (error) {
      logger.warn({ error }, 'dead letter not written, trying again')
      await time.sleep(delays.nextDelay(), signal)
    }
  }
}
