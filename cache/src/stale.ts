import type { CacheContext } from './context.ts'
import type { Kind } from './kind.ts'
import { localResult, type Arrival } from './outcome.ts'
import type { ReadThrough } from './read-through.ts'
import { isBelowToken } from './token.ts'
import type { ReadResult } from './types.ts'
import { decodeValue } from './value-format.ts'

/** Finds what is left past its contract; never below the reader's token, never what a known fence covers. */
export async function staleResult<Args, V>(
  context: CacheContext,
  kind: Kind<Args, V>,
  through: ReadThrough<Args, V>,
  reader: Arrival,
): Promise<ReadResult<V> | null> {
  const { clock, knowledge, freshness } = context
  const record = kind.l1.peek(reader.key)
  if (record && !isBelowToken(record.stamp, reader.token)) {
    return { ...localResult<V>(record, clock.now()), layer: 'stale', stale: true }
  }
  const text = await through.stored(reader.key)
  const value = text === null ? null : decodeValue(text)
  if (!value || isBelowToken(value.stamp, reader.token)) return null
  const { tags } = value
  if (knowledge.mirror.covers(tags, value.stamp)) return null
  const redisNowMs = freshness.redisNowMs(clock.now()) ?? clock.wall()
  const loadedAtMs = value.loadedAtMs ?? value.expiresAtMs - kind.ttlMs(value.body)
  return {
    value: kind.decode(value.body),
    stamp: value.stamp,
    tags,
    layer: 'stale',
    ageMs: Math.max(0, redisNowMs - loadedAtMs),
    stored: true,
    stale: true,
  }
}
