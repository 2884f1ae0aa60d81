import { parseTag, type Tag } from '@lockstep/schemas'
import { isCoarse } from './advance-plan.ts'
import { CacheError } from './errors.ts'

/** Picks the tags that have a fence of their own, and so an incarnation; coarse ones live in `w`. */
export function plainOf(tags: readonly string[]): readonly Tag[] {
  return (tags.some(isCoarse) ? tags.filter((tag) => !isCoarse(tag)) : tags) as readonly Tag[]
}

/** Puts the own tag before the declared ones and checks them all. @throws CacheError naming the tag that is wrong. */
export function declareTags(key: string, declared: readonly string[]): readonly string[] {
  const tags = [...new Set([key, ...declared])]
  for (const tag of tags) checkTag(tag)
  if (isCoarse(key)) throw new CacheError('LOCKSTEP_CACHE_CONFIG', `key ${key} is a class tag; name one value instead`)
  return tags
}

/** @throws CacheError unless the text may be a tag. */
export function checkTag(text: string): Tag {
  try {
    return parseTag(text)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new CacheError('LOCKSTEP_CACHE_CONFIG', `not a tag, correct the entry's key or tags: ${reason}`, { cause })
  }
}
