import type { Stamp, Tag } from '@lockstep/schemas'
import { isCoarse } from './advance-plan.ts'
import { survived, type CacheContext } from './context.ts'
import { plainOf } from './dependencies.ts'
import { encodeValue } from './value-format.ts'

/** A value that was loaded under a lease. */
export interface Fill {
  readonly key: string
  readonly lease: string
  readonly stamp: Stamp
  readonly tags: readonly string[]
  readonly body: string
  /** Until the soft expiry, ms. */
  readonly ttlMs: number
  /** How long behind that it is kept, ms. */
  readonly graceMs: number
  /** How long the load took, ms. */
  readonly loadMs: number
  /** What `LeaseReply` said. */
  readonly evictionMark: string
}

/** Fences live longer than the value they guard, by more than a fill can take between touch and store. */
const FENCE_MARGIN_MS = 10_000

/**
 * Stores a loaded value in Redis: touches every fence, then stores while the lease is held. Answers the ring moment before
 * the fences were read, and whether the value was stored: only then is an absent fence known to mean "none", because the
 * lease is shorter than any fence and nothing was evicted.
 */
export async function storeFill(
  context: CacheContext,
  fill: Fill,
): Promise<{ stored: boolean; fencesReadAt: number | null }> {
  const store = context.store
  const fencesReadAt = context.knowledge.ring.sequence
  try {
    if (!store) return { stored: false, fencesReadAt: null }
    const ttlMs = fill.ttlMs + fill.graceMs
    const longMs = ttlMs + context.limits.leaseMs + FENCE_MARGIN_MS
    const touched = await store.fills.touch(plainOf(fill.tags), fill.stamp, longMs)
    for (const { tag, stamp } of touched.newer) context.knowledge.raise(tag, stamp)
    const agreed = touched.newer.length === 0 || context.unsafe.ignoreFences === true
    const value =
      agreed && touched.evictionMark === fill.evictionMark ? textOf(context, fill, touched.incarnations) : null
    if (value !== null && (await store.fills.store({ key: fill.key, lease: fill.lease, value, ttlMs }))) {
      context.counters.stored += 1
      context.keyEvents.note(fill.key, 'stored', fill.stamp)
      return { stored: true, fencesReadAt }
    }
  } catch (error) {
    survived(context, error, 'storing a value')
  }
  context.counters.rejected += 1
  context.keyEvents.note(fill.key, 'rejected', fill.stamp)
  dropLease(context, fill.key, fill.lease)
  return { stored: false, fencesReadAt: null }
}

/** Lets go of a lease without waiting; it would expire anyway. */
export function dropLease(context: CacheContext, key: string, lease: string): void {
  context.store?.fills.release(key, lease).catch((error: unknown) => survived(context, error, 'releasing a lease'))
}

function textOf(context: CacheContext, fill: Fill, incarnations: readonly (string | null)[]): string | null {
  const redisNowMs = context.freshness.redisNowMs(context.clock.now())
  if (redisNowMs === null) return null
  const byTag = new Map(plainOf(fill.tags).map((tag, index) => [tag, incarnations[index] ?? '']))
  return encodeValue({
    stamp: fill.stamp,
    expiresAtMs: Math.floor(redisNowMs + fill.ttlMs),
    loadedAtMs: Math.floor(redisNowMs - fill.loadMs),
    loadMs: Math.ceil(fill.loadMs),
    // A class tag has no record of its own, so no incarnation.
    tags: fill.tags.map((tag) => [tag, isCoarse(tag) ? '' : (byTag.get(tag as Tag) ?? '')] as const),
    body: fill.body,
  })
}
