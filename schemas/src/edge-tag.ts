import { createHash } from 'node:crypto'
import type { Tag } from './tag.ts'

/** A tag in the portable alphabet of CDNs: `[a-z0-9._-]`, at most 32 characters. */
export type SurrogateKey = string & { readonly __brand: 'SurrogateKey' }

// RFC 9875 obliges caches to handle keys of 32 characters, no more.
const MAX_LENGTH = 32
const HASH_MARK = '_h'
// 13 × 5 = 65 bits: about 3 in a million for any collision among 10 million keys; a collision only purges too much.
const HASH_LENGTH = 13
const MAX_PREFIX = MAX_LENGTH - HASH_MARK.length - HASH_LENGTH
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'
const PLAIN = /^[a-z0-9:-]{0,32}$/
const UNESCAPED = /[a-z0-9-]/

/**
 * Encodes a tag so that different tags never meet (except with the odds of a 65-bit hash when it is too long): `:`
 * becomes `.`, other bytes outside `[a-z0-9-]` become `_` and two hex digits, and what is longer than 32 characters
 * becomes a readable prefix, `_h` and a hash. `h` is no hex digit, so hashed and plain keys differ.
 */
export function encodeSurrogateKey(tag: Tag): SurrogateKey {
  if (PLAIN.test(tag)) return tag.replaceAll(':', '.') as SurrogateKey
  const pieces = Array.from(Buffer.from(tag), encodeByte)
  const whole = pieces.join('')
  if (whole.length <= MAX_LENGTH) return whole as SurrogateKey
  let prefix = ''
  for (const piece of pieces) {
    if (prefix.length + piece.length > MAX_PREFIX) break
    prefix += piece
  }
  return (prefix + HASH_MARK + hash(tag)) as SurrogateKey
}

function encodeByte(byte: number): string {
  const character = String.fromCharCode(byte)
  if (character === ':') return '.'
  return UNESCAPED.test(character) ? character : `_${byte.toString(16).padStart(2, '0')}`
}

function hash(tag: Tag): string {
  // 18 hex digits are 72 bits, 7 more than needed.
  let bits = BigInt(`0x${createHash('sha256').update(tag).digest('hex').slice(0, 18)}`) >> 7n
  let text = ''
  for (let index = 0; index < HASH_LENGTH; index++, bits >>= 5n) text = BASE32[Number(bits & 31n)] + text
  return text
}
