import { createHmac, timingSafeEqual } from 'node:crypto'
import { generationOf, parseStamp, type Stamp } from '@lockstep/schemas'

// 128 of HMAC-SHA256's 256 bits: a forgery needs 2^128 tries, and the header stays short.
const MAC_BYTES = 16
/** Hex digits of a stamp before its clock. */
const GENERATION_LENGTH = 8

function macOf(stamp: string, secret: string): Buffer {
  return createHmac('sha256', secret).update(`lockstep-token-1:${stamp}`).digest().subarray(0, MAC_BYTES)
}

/** Writes a stamp as an opaque token that a client can carry but not make up. */
export function signToken(stamp: Stamp, secret: string): string {
  return `${stamp}.${macOf(stamp, secret).toString('base64url')}`
}

/** Reads a token back in constant time; null for anything that `signToken` did not write with this secret. */
export function verifyToken(token: string, secret: string): Stamp | null {
  const [text = '', mac = '', ...rest] = token.split('.')
  const given = Buffer.from(mac, 'base64url')
  const isGenuine = given.length === MAC_BYTES && timingSafeEqual(given, macOf(text, secret))
  if (!isGenuine || rest.length > 0) return null
  try {
    return parseStamp(text)
  } catch {
    return null
  }
}

/**
 * Tells whether a value with this stamp may miss what the holder of the token has seen. A writer that has not heard of
 * the newest generation goes on handing out tokens of its own, and a newer generation is no later snapshot: across
 * generations the clocks decide. After a failover that may refuse a value that would do, which costs a load.
 */
export function isBelowToken(stamp: Stamp, token: Stamp | null | undefined): boolean {
  if (!token) return false
  if (stamp < token) return true
  return generationOf(stamp) !== generationOf(token) && stamp.slice(GENERATION_LENGTH) < token.slice(GENERATION_LENGTH)
}
