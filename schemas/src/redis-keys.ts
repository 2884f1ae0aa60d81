import type { Tag } from './tag.ts'

/** Every Redis key of a namespace. `w`, the bus and the acks share one slot; v, f and l of one name share another. */
export interface RedisKeys {
  readonly watermark: string
  readonly bus: string
  /** Hash: process id → JSON {id: last applied bus id, at: Redis time in ms}. */
  readonly acks: string
  value(key: string): string
  fence(tag: Tag | string): string
  lease(key: string): string
}

/** Names the keys of a namespace. Cluster hash tags keep what one script touches in one slot. */
export function redisKeys(namespace: string): RedisKeys {
  return {
    watermark: `{${namespace}}:w`,
    bus: `{${namespace}}:bus`,
    acks: `{${namespace}}:acks`,
    value: (key) => `${namespace}:v:{${key}}`,
    fence: (tag) => `${namespace}:f:{${tag}}`,
    lease: (key) => `${namespace}:l:{${key}}`,
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
