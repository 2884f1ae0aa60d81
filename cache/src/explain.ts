import type { Stamp } from '@lockstep/schemas'
import { isVouchedFor } from './candidate.ts'
import type { CacheContext } from './context.ts'
import { checkTag, plainOf } from './dependencies.ts'
import type { LocalRecord } from './l1/record.ts'
import type { FenceRecord } from './store.ts'
import type { Explanation, LayerExplanation } from './types.ts'
import { decodeValue, type StoredValue } from './value-format.ts'

/** Tells where a key is, and why what is there may be served or not; changes nothing. */
export async function explain(context: CacheContext, key: string): Promise<Explanation> {
  checkTag(key)
  const { clock, knowledge, freshness, limits, keyEvents } = context
  const now = clock.now()
  const record = context.l1.peek(key)
  return {
    key,
    generation: knowledge.generation,
    newestStamp: knowledge.newest,
    mirrorStart: knowledge.mirror.start,
    freshnessAgeMs: knowledge.mirror.start === null ? null : freshness.ageMs(now),
    maxStalenessMs: limits.maxStalenessMs,
    l1: record ? explainRecord(context, record, now) : null,
    redis: await explainStored(context, key, now),
    events: keyEvents.of(key).map(({ kind, at, stamp }) => ({ kind, agoMs: now - at, stamp })),
  }
}

function explainRecord(context: CacheContext, record: LocalRecord, now: number): LayerExplanation {
  const tags = [record.key, ...record.tags]
  const reason = ended(record.deadAt - now) ?? unvouched(context) ?? fencedBy(context, tags, record.stamp)
  const fences = tags.map((tag) => ({ tag, filledUnder: null, fence: context.knowledge.mirror.fenceOf(tag) }))
  return verdict({ stamp: record.stamp, ageMs: now - record.loadedAt, endsInMs: record.deadAt - now, fences }, reason)
}

async function explainStored(context: CacheContext, key: string, now: number): Promise<LayerExplanation | null> {
  const { store } = context
  if (!store) return null
  try {
    const text = await store.values.value(key)
    const value = text === null ? null : decodeValue(text)
    if (!value) return null
    const plain = plainOf(value.tags)
    const records = new Map<string, FenceRecord | null>()
    const read = await store.values.fences(plain)
    plain.forEach((tag, index) => records.set(tag, read.records[index] ?? null))
    const { start } = context.knowledge.mirror
    const isBehind = start !== null && value.stamp < start && read.appliedUpTo < start
    return judgeStored(context, { value, records, now, isBehind })
  } catch (error) {
    const failure = error instanceof Error ? error.message : String(error)
    return { stamp: null, ageMs: null, endsInMs: null, fences: [], isValid: false, reason: `Redis: ${failure}` }
  }
}

function judgeStored(
  context: CacheContext,
  read: {
    readonly value: StoredValue
    readonly records: ReadonlyMap<string, FenceRecord | null>
    readonly now: number
    /** Redis has not applied all that this process has heard of. */
    readonly isBehind: boolean
  },
): LayerExplanation {
  const { value, records, now } = read
  const redisNowMs = context.freshness.redisNowMs(now)
  const endsInMs = redisNowMs === null ? null : value.expiresAtMs - redisNowMs
  const ageMs = redisNowMs === null || value.loadedAtMs === undefined ? null : redisNowMs - value.loadedAtMs
  const fences = value.tags.map((tag, index) => {
    return { tag, filledUnder: value.incarnations[index] ?? '', fence: records.get(tag)?.stamp ?? null }
  })
  const reason =
    ended(endsInMs ?? 0) ??
    unvouched(context) ??
    fencedBy(context, value.tags, value.stamp) ??
    (read.isBehind ? 'Redis has not applied all that this process has heard of' : lostFence(value, records))
  return verdict({ stamp: value.stamp, ageMs, endsInMs, fences }, reason)
}

function verdict(facts: Omit<LayerExplanation, 'isValid' | 'reason'>, reason: string | null): LayerExplanation {
  return { ...facts, isValid: reason === null, reason: reason ?? 'no fence is newer than its stamp' }
}

const ended = (inMs: number): string | null => (inMs > 0 ? null : 'its time to live is over')

function unvouched(context: CacheContext): string | null {
  if (isVouchedFor(context, context.limits.maxStalenessMs)) return null
  return context.knowledge.mirror.start === null
    ? 'this process is not attached to the bus'
    : 'what this process has applied is older than the contract'
}

function fencedBy(context: CacheContext, tags: readonly string[], stamp: Stamp): string | null {
  const tag = context.knowledge.mirror.coveredBy(tags, stamp)
  return tag === null ? null : `the fence of ${tag} is newer than its stamp`
}

/** Each fence in Redis must be the one the value was filled under, and not newer. */
function lostFence(value: StoredValue, records: ReadonlyMap<string, FenceRecord | null>): string | null {
  for (const [index, tag] of value.tags.entries()) {
    const fence = records.get(tag)
    if (fence === undefined) continue
    if (fence === null) return `the fence of ${tag} is not in Redis any more`
    if (fence.incarnation !== value.incarnations[index]) return `the fence of ${tag} was lost and made anew`
    if (fence.stamp > value.stamp) return `the fence of ${tag} is newer than its stamp`
  }
  return null
}
