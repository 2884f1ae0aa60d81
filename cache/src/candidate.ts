import type { Stamp } from '@lockstep/schemas'
import { survived, type CacheContext } from './context.ts'
import { dependenciesOf, type Dependencies } from './dependencies.ts'
import { isBelowToken } from './token.ts'
import { decodeValue, type StoredValue } from './value-format.ts'

/** What a reader demands of a value from Redis. */
export interface Demand {
  /** Accept nothing older. */
  readonly token: Stamp | null
  /** Contract, ms. */
  readonly maxStalenessMs: number
}

/** A value from Redis that is valid as of ring moment `knownAt`. */
export interface Accepted {
  readonly value: StoredValue
  readonly dependencies: Dependencies
  readonly remainingMs: number
  readonly knownAt: number
  /** See `Knowledge.keep`. */
  readonly fencesReadAt: number | null
}

/** Tells whether layers may be read now at all: the contract. */
export function isVouchedFor(context: CacheContext, maxStalenessMs: number): boolean {
  if (context.unsafe.ignoreFreshness) return context.knowledge.mirror.start !== null
  return context.knowledge.mirror.start !== null && context.freshness.isWithin(context.clock.now(), maxStalenessMs)
}

/** Judges the text of a value from Redis. Null = a miss. Once it has answered, the value is to be used in the same tick. */
export async function accept(context: CacheContext, text: string | null, demand: Demand): Promise<Accepted | null> {
  const value = text === null ? null : decodeValue(text)
  if (!value || isBelowToken(value.stamp, demand.token)) return null
  const dependencies = dependenciesOf(value.tags.map(([tag]) => tag))
  const { mirror, ring } = context.knowledge
  let fencesReadAt: number | null = null
  const mustAsk = mirror.start !== null && value.stamp < mirror.start && !context.unsafe.ignoreFences
  if (mustAsk) {
    fencesReadAt = ring.sequence
    if (!(await fencesAgree(context, value, dependencies))) return null
  }
  return judge(context, { value, dependencies, fencesReadAt }, demand)
}

function judge(
  context: CacheContext,
  candidate: Pick<Accepted, 'value' | 'dependencies' | 'fencesReadAt'>,
  demand: Demand,
): Accepted | null {
  const { knowledge, unsafe } = context
  const { value, dependencies, fencesReadAt } = candidate
  const redisNowMs = context.freshness.redisNowMs(context.clock.now())
  if (redisNowMs === null || !isVouchedFor(context, demand.maxStalenessMs)) return null
  const remainingMs = value.expiresAtMs - redisNowMs
  if (remainingMs <= 0) return null
  if (!unsafe.blindPromotion && !knowledge.agrees(dependencies, value.stamp, fencesReadAt)) return null
  return { ...candidate, remainingMs, knownAt: knowledge.ring.sequence }
}

/** Asks Redis for the fences of a value from before the mirror's start: each must be the one it was filled under. */
async function fencesAgree(context: CacheContext, value: StoredValue, dependencies: Dependencies): Promise<boolean> {
  try {
    const fences = (await context.store?.values.fences(dependencies.plain)) ?? []
    dependencies.plain.forEach((tag, index) => {
      const fence = fences[index]
      if (fence && fence.stamp > value.stamp) context.knowledge.raise(tag, fence.stamp)
    })
    const filledUnder = new Map(value.tags)
    return dependencies.plain.every((tag, index) => {
      const fence = fences[index]
      return fence ? fence.incarnation === filledUnder.get(tag) && fence.stamp <= value.stamp : false
    })
  } catch (error) {
    survived(context, error, 'reading fences')
    return false
  }
}
