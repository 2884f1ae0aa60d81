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

/** Writes the commands that raise fences of plain tags and drop what they cover. */
export function invalidations(
  keys: RedisKeys,
  fences: readonly { readonly tag: Tag; readonly stamp: Stamp }[],
  { lifeMs, nonce }: FenceLife,
): Command[] {
  const commands: Command[] = []
  for (let start = 0; start < fences.length; start += TAGS_PER_CALL) {
    const names: string[] = []
    const args: (string | number)[] = [lifeMs, nonce()]
    for (const { tag, stamp } of fences.slice(start, start + TAGS_PER_CALL)) {
      names.push(keys.fence(tag), keys.value(tag), keys.lease(tag))
      args.push(stamp)
    }
    commands.push(call(INVALIDATE, names, args))
  }
  return commands
}
