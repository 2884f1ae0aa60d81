import type { RedisKeys, Stamp, Tag } from '@lockstep/schemas'
import type { ClaimRequest } from '../store.ts'
import { call, type Command } from './pipeline.ts'
import { INVALIDATE } from './scripts.ts'

/** Holds up Redis for about 0.2 ms; larger calls gain nothing. */
const TAGS_PER_CALL = 64

/** How the fences are to be made. */
export interface FenceLife {
  /** Least life, ms. */
  readonly lifeMs: number
  /** Names incarnations; must never repeat. */
  readonly nonce: () => string
}

/** A fence to raise. */
export interface Raise {
  readonly tag: Tag
  readonly stamp: Stamp
}

/** One call, and the claims that it answers in order. */
export interface Invalidation {
  readonly command: Command
  readonly claims: readonly ClaimRequest[]
}

/** KEYS and W of the tags of one call, as the scripts take them: each tag once, by its greatest stamp. */
export function raising(keys: RedisKeys, fences: readonly Raise[]): { tags: Tag[]; names: string[]; stamps: Stamp[] } {
  const greatest = new Map<Tag, Stamp>()
  for (const { tag, stamp } of fences) {
    const known = greatest.get(tag)
    if (known === undefined || known < stamp) greatest.set(tag, stamp)
  }
  const tags = [...greatest.keys()]
  const fenceKeys = tags.map((tag) => keys.fence(tag))
  const names = fenceKeys.concat(
    tags.map((tag) => keys.lease(tag)),
    tags.map((tag) => keys.value(tag)),
  )
  return { tags, names, stamps: [...greatest.values()] }
}

/**
 * Writes the calls that raise fences of plain tags and drop what they cover, each with the claims for keys among its tags.
 * Every claim must be for one of the tags.
 */
export function invalidations(
  keys: RedisKeys,
  fences: readonly Raise[],
  { lifeMs, nonce }: FenceLife,
  claims: readonly ClaimRequest[] = [],
): Invalidation[] {
  const calls: Invalidation[] = []
  let left = claims
  for (let start = 0; start < fences.length; start += TAGS_PER_CALL) {
    const { tags, names, stamps } = raising(keys, fences.slice(start, start + TAGS_PER_CALL))
    const here = left.filter(({ key }) => tags.includes(key as Tag))
    left = here.length === 0 ? left : left.filter((claim) => !here.includes(claim))
    const args = here.flatMap((claim) => wordsOf(claim, tags.indexOf(claim.key as Tag) + 1))
    calls.push({ command: call(INVALIDATE, names, [lifeMs, nonce(), ...stamps, ...args]), claims: here })
  }
  return calls
}

function wordsOf({ holder, stamp, untilMs }: ClaimRequest, place: number): (string | number)[] {
  return [place, holder, stamp, Math.floor(untilMs)]
}
