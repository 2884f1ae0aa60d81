import { randomUUID } from 'node:crypto'
import type { Stamp, Tag } from '@lockstep/schemas'
import { planAdvance } from '../advance-plan.ts'
import { DEFAULT_SHORT_FENCE_MS, type FenceWriter } from '../fence-writer.ts'
import type { MemoryServer } from './server.ts'

/** Does what the script of the same name does. */
export function invalidate(
  server: MemoryServer,
  { tag, stamp }: { readonly tag: Tag; readonly stamp: Stamp },
  life: { readonly shortFenceMs: number; readonly nonce: string },
): void {
  const strings = server.strings
  for (const key of [`v:${tag}`, `l:${tag}`]) {
    const held = strings.get(key)?.slice(0, 28)
    if (held !== undefined && held < stamp) strings.delete(key)
  }
  const key = `f:${tag}`
  const known = strings.get(key)
  if (known === null) return strings.set(key, `${stamp}:${life.nonce}`, life.shortFenceMs)
  if ((known.slice(0, 28) as Stamp) < stamp) strings.replace(key, stamp + known.slice(28))
  strings.prolong(key, life.shortFenceMs)
}

/** Creates the writer's half of the fence protocol over a server in memory. */
export function createMemoryFenceWriter(options: {
  readonly server: MemoryServer
  readonly shortFenceMs?: number | undefined
  readonly nonce?: (() => string) | undefined
}): FenceWriter {
  const { server, shortFenceMs = DEFAULT_SHORT_FENCE_MS, nonce = randomUUID } = options
  // Answers come in a later tick, as over a socket, so that no caller relies on them at once.
  return {
    advance: async (batch) => {
      await Promise.resolve()
      for (const [tag, stamp] of planAdvance(batch).plain) {
        invalidate(server, { tag, stamp }, { shortFenceMs, nonce: nonce() })
      }
      return server.advance(batch, nonce())
    },
    open: async (flush) => {
      await Promise.resolve()
      return server.open(flush, nonce())
    },
    redisTimeUs: async () => {
      await Promise.resolve()
      return server.timeUs()
    },
  }
}
