import type { Stamp, Tag } from '@lockstep/schemas'
import { isCoarse } from './advance-plan.ts'
import { survived, track, type CacheContext } from './context.ts'
import type { CacheStore } from './store.ts'
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
  /** What `LeaseReply` said: incarnation of the own fence, and its mark. */
  readonly incarnation: string
  readonly evictionMark: string
}

/** Whether a value was stored, and, where every fence was read for it, the ring moment before. */
export interface Filled {
  readonly stored: boolean
  readonly fencesReadAt: number | null
}

/** Fences live longer than the value they guard, by more than a fill can take between touch and store. */
const FENCE_MARGIN_MS = 10_000
/** So much longer is a fence made to live than its value needs; until that is used up, fills under it need not touch it. */
const FENCE_SLACK = 1.25

/** Life of the fences of a value that is kept for `ttlMs`, grace included. */
function fenceLifeMs(context: CacheContext, ttlMs: number): number {
  return ttlMs + context.limits.leaseMs + FENCE_MARGIN_MS
}

/**
 * Stores a loaded value in Redis: learns an incarnation of every fence, then stores while the lease is held. Answers whether
 * it was stored, and, where every fence was read for it, the ring moment before: only when the value is stored is an absent
 * fence known to mean "none", because the lease is shorter than any fence and nothing was evicted.
 */
export async function storeFill(context: CacheContext, fill: Fill): Promise<Filled> {
  const { store, knowledge } = context
  const { key, lease, stamp } = fill
  const sequence = knowledge.ring.sequence
  let isRefused = false
  try {
    const ttlMs = fill.ttlMs + fill.graceMs
    const naming = store && !knowledge.mirror.covers(fill.tags, stamp) ? nameFences(context, store, fill) : null
    // Most fills have nothing to wait for here.
    const named = naming instanceof Promise ? await naming : naming
    const value = named && textOf(context, fill, named.incarnations)
    if (store && value) {
      const isStored = await store.fills.store({ key, lease, value, ttlMs, fenceMs: fenceLifeMs(context, ttlMs) })
      if (isStored) {
        context.counters.stored += 1
        context.keyEvents.note(key, 'stored', stamp)
        return { stored: true, fencesReadAt: named.areAllRead ? sequence : null }
      }
      isRefused = true
    }
  } catch (error) {
    survived(context, error, 'storing a value')
  }
  context.counters.rejected += 1
  context.keyEvents.note(key, 'rejected', stamp)
  // Who was refused holds it no more.
  if (!isRefused) dropLease(context, key, lease)
  return { stored: false, fencesReadAt: null }
}

/** Of each tag the incarnation of its fence, '' for a coarse one, which has none. */
interface Named {
  readonly incarnations: string[]
  readonly areAllRead: boolean
}

/** A tag of which the incarnation is to be asked for, and its place among the tags. */
interface Unknown {
  readonly tag: Tag
  readonly place: number
}

/**
 * Learns the incarnations under which a value is to be stored; null where a fence is newer. The own one came with the lease,
 * others are remembered or touched. A value from before the mirror's start is judged by its fences alone: all are touched.
 */
function nameFences(context: CacheContext, store: CacheStore, fill: Fill): Named | Promise<Named | null> {
  const { knowledge, clock } = context
  const { incarnations: remembered, mirror } = knowledge
  const { key, stamp, tags, incarnation, evictionMark } = fill
  const lifeMs = fenceLifeMs(context, fill.ttlMs + fill.graceMs)
  const livesUntil = clock.now() + lifeMs
  const areAllRead = mirror.start === null || stamp < mirror.start
  const unknown: Unknown[] = []
  const incarnations = tags.map((tag, place) => {
    if (isCoarse(tag)) return ''
    const known = tag === key ? incarnation : remembered.of(tag as Tag, livesUntil, evictionMark)
    if (known !== null && !areAllRead) return known
    unknown.push({ tag: tag as Tag, place })
    return ''
  })
  const named = { incarnations, areAllRead }
  return unknown.length === 0 ? named : touchFences(context, store, { fill, named, unknown, lifeMs })
}

async function touchFences(
  { knowledge, clock, unsafe }: CacheContext,
  store: CacheStore,
  { fill, named, unknown, lifeMs }: { fill: Fill; named: Named; unknown: readonly Unknown[]; lifeMs: number },
): Promise<Named | null> {
  const { key, stamp, evictionMark } = fill
  const livesUntil = clock.now() + lifeMs * FENCE_SLACK
  const asked = unknown.map(({ tag }) => tag)
  const touched = await store.fills.touch(asked, stamp, lifeMs * FENCE_SLACK)
  for (const newer of touched.newer) knowledge.raise(newer.tag, newer.stamp)
  if (touched.newer.length > 0 && !unsafe.ignoreFences) return null
  if (touched.evictionMark !== evictionMark) return null
  unknown.forEach(({ tag, place }, index) => {
    const incarnation = touched.incarnations[index] ?? ''
    named.incarnations[place] = incarnation
    if (tag !== key && incarnation !== '')
      knowledge.incarnations.remember(tag, { incarnation, livesUntil, evictionMark })
  })
  return named
}

/** Lets go of a lease without waiting; it would expire anyway. */
export function dropLease(context: CacheContext, key: string, lease: string): void {
  const release = context.store?.fills.release(key, lease)
  if (release)
    void track(
      context,
      release.catch((error: unknown) => survived(context, error, 'releasing a lease')),
    )
}

function textOf({ freshness, turn }: CacheContext, fill: Fill, incarnations: readonly string[]): string | null {
  const { stamp, tags, body, ttlMs, loadMs } = fill
  const redisNowMs = freshness.redisThisTurnMs(turn.now())
  if (redisNowMs === null) return null
  return encodeValue({
    stamp,
    expiresAtMs: Math.floor(redisNowMs + ttlMs),
    loadedAtMs: Math.floor(redisNowMs - loadMs),
    loadMs: Math.ceil(loadMs),
    tags,
    incarnations,
    body,
  })
}
