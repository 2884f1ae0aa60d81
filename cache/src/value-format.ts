import type { Stamp } from '@lockstep/schemas'

/** A value as Redis holds it. */
export interface StoredValue {
  readonly stamp: Stamp
  /** Soft expiry by Redis' clock, ms since the Unix epoch. */
  readonly expiresAtMs: number
  /** Plain tags with the incarnation of the fence they were filled under, the own tag first. */
  readonly tags: readonly (readonly [tag: string, incarnation: string])[]
  readonly body: string
}

const STAMP_LENGTH = 28

/** Writes stamp, one line of JSON and the body. */
export function encodeValue(value: StoredValue): string {
  return `${value.stamp}${JSON.stringify({ x: value.expiresAtMs, t: value.tags })}\n${value.body}`
}

/** Reads what `encodeValue` wrote; null for anything else, which is then a miss. */
export function decodeValue(text: string): StoredValue | null {
  const end = text.indexOf('\n', STAMP_LENGTH)
  if (end === -1) return null
  try {
    const header = JSON.parse(text.slice(STAMP_LENGTH, end)) as { x?: unknown; t?: unknown }
    if (typeof header.x !== 'number' || !Array.isArray(header.t)) return null
    return {
      stamp: text.slice(0, STAMP_LENGTH) as Stamp,
      expiresAtMs: header.x,
      tags: header.t as StoredValue['tags'],
      body: text.slice(end + 1),
    }
  } catch {
    return null
  }
}
