import type { RedisKeys, Stamp, Tag } from '@lockstep/schemas'
import { keepGreatest } from '../advance-plan.ts'
import type { ClaimRequest } from '../store.ts'
import { call, type Command } from './pipeline.ts'
import { INVALIDATE } from './scripts.ts'

/** Holds up Redis for about 0.3 ms; larger calls gain nothing. */
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

/** KEYS of the tags of one call, as RAISE_FENCES takes them. */
export function namesOf(keys: RedisKeys, tags: readonly Tag[]): string[] {
  const fenceKeys = tags.map((tag) => keys.fence(tag))
  return fenceKeys.concat(
    tags.map((tag) => keys.lease(tag)),
    tags.map((tag) => keys.value(tag)),
  )
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
    const stamps = new Map<Tag, Stamp>()
    for (const { tag, stamp } of fences.slice(start, start + TAGS_PER_CALL)) keepGreatest(stamps, tag, stamp)
    const tags = [...stamps.keys()]
    const here = left.filter(({ key }) => tags.includes(key as Tag))
    left = here.length === 0 ? left : left.filter((claim) => !here.includes(claim))
    const args = here.flatMap((claim) => wordsOf(claim, tags.indexOf(claim.key as Tag) + 1))
    calls.push({
      command: call(INVALIDATE, namesOf(keys, tags), [lifeMs, nonce(), ...stamps.values(), ...args]),
      claims: here,
    })
  }
  return calls
}

function wordsOf({ holder, stamp, untilMs }: ClaimRequest, place: number): (string | number)[] {
  return [place, holder, stamp, Math.floor(untilMs)]
}
