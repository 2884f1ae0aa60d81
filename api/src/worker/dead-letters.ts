import type { EventLog, LogBatch, ReceivedRecord } from '@lockstep/runtime'
import { encodeEvent } from '@lockstep/schemas'
import { SHOP_TOPICS } from '../shop-topics.ts'

/** A record that can never succeed, and why. */
export interface Poison {
  readonly record: ReceivedRecord
  readonly code: string
  readonly message: string
}

/**
 * Puts records aside with their reason, their own bytes and headers. Called before the batch that held them counts as done: a crash
 * between puts them aside twice, never not at all.
 */
export async function bury(log: Pick<EventLog, 'produce'>, batch: LogBatch, poison: readonly Poison[]): Promise<void> {
  if (poison.length === 0) return
  const { topic, partition } = batch
  await log.produce(
    SHOP_TOPICS.deadLetters,
    poison.map(({ record, code, message }) => ({
      key: record.key,
      headers: record.headers,
      value: encodeEvent({
        kind: 'dead-letter',
        code,
        message,
        topic,
        partition,
        offset: record.offset,
        payload: record.value,
      }),
    })),
  )
}
