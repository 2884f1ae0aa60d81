import { classOf, parseTag, type Tag } from '@lockstep/schemas'
import { isCoarse } from './advance-plan.ts'
import { CacheError } from './errors.ts'

/** What one value depends on; `*` is always meant. */
export interface Dependencies {
  /** Tags with fences of their own, the own tag first. */
  readonly plain: readonly Tag[]
  /** Classes of all tags. */
  readonly classes: readonly string[]
}

/** Splits a value's tags. Stored tags were checked when they were declared. */
export function dependenciesOf(tags: readonly string[]): Dependencies {
  const plain = tags.filter((tag) => !isCoarse(tag)) as Tag[]
  return { plain, classes: [...new Set(tags.map((tag) => classOf(tag as Tag)))] }
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
