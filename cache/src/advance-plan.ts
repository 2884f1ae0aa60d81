import { classOf, EVERYTHING, isClassTag, ZERO_STAMP, type Stamp, type Tag } from '@lockstep/schemas'
import type { AdvanceBatch } from './fence-writer.ts'

/** What a batch does to `w`, worked out before the script so that the script only takes maxima. */
export interface AdvancePlan {
  /** Greatest stamp of all fences, '' without any. */
  readonly greatest: Stamp | ''
  /** Field of `w` → stamp, for classes and `*`. */
  readonly raises: ReadonlyMap<string, Stamp>
  /** Tag → stamp, for the others. */
  readonly plain: ReadonlyMap<Tag, Stamp>
}

/** Tells whether a tag's fence lives in `w` instead of a key of its own. */
export function isCoarse(tag: string): boolean {
  return tag === EVERYTHING || isClassTag(tag as Tag)
}

/** Names the field of `w` that holds a coarse tag's fence. */
export function coarseField(tag: string): string {
  return tag === EVERYTHING ? '*' : `c:${classOf(tag as Tag)}`
}

/** Works out a batch's greatest stamp and its fences, each once. */
export function planAdvance(batch: AdvanceBatch): AdvancePlan {
  let greatest: Stamp = ZERO_STAMP
  const raises = new Map<string, Stamp>()
  const plain = new Map<Tag, Stamp>()
  for (const [tag, text] of batch.fences) {
    const stamp = text as Stamp
    if (stamp > greatest) greatest = stamp
    if (isCoarse(tag)) keepGreatest(raises, coarseField(tag), stamp)
    else keepGreatest(plain, tag as Tag, stamp)
  }
  return { greatest: batch.fences.length === 0 ? '' : greatest, raises, plain }
}

/** Sets a stamp unless a greater one is there. */
export function keepGreatest<K>(stamps: Map<K, Stamp>, key: K, stamp: Stamp): void {
  const known = stamps.get(key)
  if (known === undefined || known < stamp) stamps.set(key, stamp)
}
