import type { Stamp } from '@lockstep/schemas'
import { survived, type CacheContext } from './context.ts'
import { plainOf } from './dependencies.ts'
import type { FencesReply } from './store.ts'
import { isBelowToken } from './token.ts'
import { decodeValue, type StoredValue } from './value-format.ts'

/** What a reader demands of a value from Redis. */
export interface Demand {
  /** Accept nothing older. */
  readonly token: Stamp | null
  /** Contract, ms. */
  readonly maxStalenessMs: number
  /** How long behind its soft expiry a value will do, ms. */
  readonly graceMs: number
}

/** A value from Redis that is valid as of ring moment `knownAt`. */
export interface Accepted {
  readonly value: StoredValue
  /** Until the soft expiry, ms; negative within the grace. */
  readonly remainingMs: number
  /** Monotonic ms at which it was judged. */
  readonly now: number
  readonly knownAt: number
  /** See `Knowledge.keep`. */
  readonly fencesReadAt: number | null
}

const NO_FENCES: FencesReply = { records: [], appliedUpTo: '' }

/** Tells whether layers may be read now at all: the contract. */
export function isVouchedFor(context: CacheContext, maxStalenessMs: number): boolean {
  if (context.knowledge.mirror.start === null) return false
  const { freshness, turn, unsafe } = context
  return unsafe.ignoreFreshness === true || freshness.isWithinThisTurn(turn.now(), maxStalenessMs)
}

/** Judges the text of a value from Redis. Null = a miss. Once it has answered (at once where the
 * mirror alone decides), the value is to be used in the same tick. */
export function accept(
  context: CacheContext,
  text: string | null,
  demand: Demand,
): Accepted | null | Promise<Accepted | null> {
  const value = text === null ? null : decodeValue(text)
  if (!value || isBelowToken(value.stamp, demand.token)) return null
  const { mirror, ring } = context.knowledge
  const mustAsk = mirror.start !== null && value.stamp < mirror.start && !context.unsafe.ignoreFences
  if (!mustAsk) return judge(context, value, null, demand)
  const fencesReadAt = ring.sequence
  return fencesAgree(context, value).then((isAgreed) => (isAgreed ? judge(context, value, fencesReadAt, demand) : null))
}

function judge(
  context: CacheContext,
  value: StoredValue,
  fencesReadAt: number | null,
  demand: Demand,
): Accepted | null {
  const { knowledge, unsafe } = context
  const now = context.turn.now()
  const redisNowMs = context.freshness.redisThisTurnMs(now)
  if (redisNowMs === null || knowledge.mirror.start === null) return null
  if (!context.freshness.isWithinThisTurn(now, demand.maxStalenessMs) && !unsafe.ignoreFreshness) return null
  const remainingMs = value.expiresAtMs - redisNowMs
  if (remainingMs + demand.graceMs <= 0) return null
  if (!unsafe.blindPromotion && !knowledge.agrees(value.tags, value.stamp, fencesReadAt)) return null
  return { value, fencesReadAt, remainingMs, now, knownAt: knowledge.ring.sequence }
}

/**
 * Asks Redis for the fences of a value from before the mirror's start: each must be the one it was filled under, and who
 * answers must have applied all that the start sums up. A replica that was promoted without its last writes has not, and
 * the tail, on a connection of its own, may find that out later.
 */
async function fencesAgree(context: CacheContext, value: StoredValue): Promise<boolean> {
  const plain = plainOf(value.tags)
  const { start } = context.knowledge.mirror
  try {
    const { records: fences, appliedUpTo } = (await context.store?.values.fences(plain)) ?? NO_FENCES
    plain.forEach((tag, index) => {
      const fence = fences[index]
      if (fence && fence.stamp > value.stamp) context.knowledge.raise(tag, fence.stamp)
    })
    if ((start === null || appliedUpTo < start) && !context.unsafe.believeAnyNode) return false
    const filledUnder = new Map(value.tags.map((tag, index) => [tag, value.incarnations[index]]))
    return plain.every((tag, index) => {
      const fence = fences[index]
      const isSame = fence?.incarnation === filledUnder.get(tag)
      if (!isSame) context.knowledge.incarnations.forget(tag)
      return isSame && fence !== null && fence !== undefined && fence.stamp <= value.stamp
    })
  } catch (error) {
    survived(context, error, 'reading fences')
    return false
  }
}
