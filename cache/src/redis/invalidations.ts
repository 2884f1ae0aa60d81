import type { RedisKeys, Stamp, Tag } from '@lockstep/schemas'
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

/** KEYS and W of the tags of one call, as the scripts take them: each tag once, by its greatest stamp. */
export function raising(keys: RedisKeys, fences: readonly Raise[]): { names: string[]; stamps: Stamp[] } {
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
  return { names, stamps: [...greatest.values()] }
}

/** Writes the commands that raise fences of plain tags and drop what they cover. */
export function invalidations(keys: RedisKeys, fences: readonly Raise[], { lifeMs, nonce }: FenceLife): Command[] {
  const commands: Command[] = []
  for (let start = 0; start < fences.length; start += TAGS_PER_CALL) {
    const { names, stamps } = raising(keys, fences.slice(start, start + TAGS_PER_CALL))
    commands.push(call(INVALIDATE, names, [lifeMs, nonce(), ...stamps]))
  }
  return commands
}
