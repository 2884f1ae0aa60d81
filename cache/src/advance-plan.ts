import { classOf, EVERYTHING, isClassTag, ZERO_STAMP, type Stamp, type Tag } from '@lockstep/schemas'
import { CacheError } from './errors.ts'
import type { AdvanceBatch, Fence } from './fence-writer.ts'

/** What a batch does to `w`, worked out before the script so that the script only takes maxima. */
export interface AdvancePlan {
  /** Greatest stamp of all fences, '' without any. */
  readonly greatest: Stamp | ''
  /** Field of `w` → stamp, for classes and `*`. */
  readonly raises: ReadonlyMap<string, Stamp>
}

/** Tells whether a tag's fence lives in `w` instead of a key of its own. */
export function isCoarse(tag: string): boolean {
  return tag === EVERYTHING || isClassTag(tag as Tag)
}

/** Names the field of `w` that holds a coarse tag's fence. */
export function coarseField(tag: string): string {
  return tag === EVERYTHING ? '*' : `c:${classOf(tag as Tag)}`
}

/** Works out a batch's greatest stamp and coarse fences. */
export function planAdvance(batch: AdvanceBatch): AdvancePlan {
  let greatest: Stamp = ZERO_STAMP
  const raises = new Map<string, Stamp>()
  for (const [tag, text] of batch.fences) {
    const stamp = text as Stamp
    if (stamp > greatest) greatest = stamp
    if (!isCoarse(tag)) continue
    const field = coarseField(tag)
    const known = raises.get(field)
    if (known === undefined || known < stamp) raises.set(field, stamp)
  }
  return { greatest: batch.fences.length === 0 ? '' : greatest, raises }
}

/** @throws CacheError when a fence is not a plain tag: classes live in `w`, where `advance` raises them. */
export function assertPlain(fences: readonly Fence[]): void {
  const coarse = fences.find(({ tag }) => isCoarse(tag))
  if (coarse) {
    throw new CacheError(
      'LOCKSTEP_CACHE_CONFIG',
      `tag ${coarse.tag} is coarse: name it among the fences of advance only`,
    )
  }
}
