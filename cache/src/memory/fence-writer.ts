import { randomUUID } from 'node:crypto'
import type { Stamp } from '@lockstep/schemas'
import { assertPlain } from '../advance-plan.ts'
import { DEFAULT_SHORT_FENCE_MS, type Fence, type FenceWriter } from '../fence-writer.ts'
import type { MemoryServer } from './server.ts'

/** Does what the script of the same name does. */
export function invalidate(server: MemoryServer, fence: Fence, life: { shortFenceMs: number; nonce: string }): void {
  const { tag, stamp } = fence
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
  const raise = (fences: readonly Fence[]): void => {
    assertPlain(fences)
    for (const fence of fences) invalidate(server, fence, { shortFenceMs, nonce: nonce() })
  }
  // Answers come in a later tick, as over a socket, so that no caller relies on them at once.
  return {
    applyFences: async (fences) => {
      await Promise.resolve()
      raise(fences)
    },
    advance: async (batch) => {
      await Promise.resolve()
      raise(batch.plain ?? [])
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
