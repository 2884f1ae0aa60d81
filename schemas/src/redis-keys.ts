import type { Tag } from './tag.ts'

/**
 * Every Redis key of a namespace. In a cluster all of them lie in one slot: what is lost or moved there is lost or moved
 * together, so that `w` tells of all fences (ADR 0013).
 */
export interface RedisKeys {
  readonly watermark: string
  readonly bus: string
  /** Hash: process id → JSON {id: last applied bus id, at: Redis time in ms}. */
  readonly acks: string
  value(key: string): string
  fence(tag: Tag | string): string
  lease(key: string): string
}

/** Names the keys of a namespace. */
export function redisKeys(namespace: string): RedisKeys {
  const slot = `{${namespace}}`
  return {
    watermark: `${slot}:w`,
    bus: `${slot}:bus`,
    acks: `${slot}:acks`,
    value: (key) => `${slot}:v:${key}`,
    fence: (tag) => `${slot}:f:${tag}`,
    lease: (key) => `${slot}:l:${key}`,
  }
}

/** Compares two Redis stream ids `ms-seq`; negative when `a` is older. */
export function compareBusIds(a: string, b: string): number {
  const [aMs, aSeq] = a.split('-')
  const [bMs, bSeq] = b.split('-')
  const byMs = BigInt(aMs ?? 0) - BigInt(bMs ?? 0)
  const difference = byMs === 0n ? BigInt(aSeq ?? 0) - BigInt(bSeq ?? 0) : byMs
  return difference < 0n ? -1 : difference > 0n ? 1 : 0
}
