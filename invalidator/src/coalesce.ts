import { compareBusIds, maxLsn, maxStamp } from '@lockstep/schemas'
import type { BusFence, Tag } from '@lockstep/schemas'
import type { Effect } from './derive.ts'

/** Merges two effects on one tag: the greatest stamp decides, the earliest commit is what latency is measured from. */
export function mergeEffects(a: Effect, b: Effect): Effect {
  return {
    tag: a.tag,
    stamp: maxStamp(a.stamp, b.stamp),
    commitLsn: maxLsn(a.commitLsn, b.commitLsn),
    commitTimeUs: a.commitTimeUs < b.commitTimeUs ? a.commitTimeUs : b.commitTimeUs,
    offset: a.offset < b.offset ? b.offset : a.offset,
  }
}

/** Merges effects into one per tag. Applying the result leaves the same fences as applying them one by one. */
export function coalesce(effects: Iterable<Effect>): Effect[] {
  const byTag = new Map<Tag, Effect>()
  for (const effect of effects) {
    const known = byTag.get(effect.tag)
    byTag.set(effect.tag, known === undefined ? effect : mergeEffects(known, effect))
  }
  return [...byTag.values()]
}

/** Writes an effect as the bus carries it. */
export function busFenceOf(effect: Effect): BusFence {
  return [effect.tag, effect.stamp, Number(effect.commitTimeUs / 1000n)]
}

/** An effect and the bus entry that every live process must have applied before the edge may be purged of it. */
export interface OwedPurge extends Effect {
  readonly busId: string
  readonly reason: string
}

/** The latest of two purges of one tag: greatest stamp, latest barrier. */
export function mergePurges(a: OwedPurge, b: OwedPurge): OwedPurge {
  const later = compareBusIds(a.busId, b.busId) < 0 ? b : a
  return { ...mergeEffects(a, b), busId: later.busId, reason: later.reason }
}
