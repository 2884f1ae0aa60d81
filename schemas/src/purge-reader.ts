import type { PurgeCommand } from './events.ts'
import type { Lsn } from './lsn.ts'
import { parseStamp } from './stamp.ts'
import { parseTag } from './tag.ts'

// Zigzag arithmetic on doubles is exact up to 7 × 7 bits.
const EXACT_BYTES = 7
const NOT_HERE = -1

/**
 * Reads the body of a purge command as the newest schema writes it, where it is plain: ASCII, numbers of up to 48 bits, not
 * negative. Null for anything else, well-formed or not: the general reader then decides. A storm brings these by the
 * hundred thousand a second, and avsc spends most of its time on strings and longs that it copies first.
 * @throws RangeError for a tag or stamp that is none.
 */
export function readPlainPurge(bytes: Buffer, start: number): PurgeCommand | null {
  const cursor = new Cursor(bytes, start)
  const id = cursor.text()
  const tag = cursor.text()
  const stamp = cursor.text()
  const commitLsn = cursor.count()
  const commitTimeUs = cursor.count()
  const busId = cursor.text()
  const reason = cursor.text()
  if (id === null || tag === null || stamp === null || busId === null || reason === null) return null
  if (commitLsn < 0 || commitTimeUs < 0 || cursor.position !== bytes.length) return null
  return {
    kind: 'purge',
    id,
    tag: parseTag(tag),
    stamp: parseStamp(stamp),
    commitLsn: BigInt(commitLsn) as Lsn,
    commitTimeUs: BigInt(commitTimeUs),
    busId,
    reason,
  }
}

class Cursor {
  position: number
  readonly #bytes: Buffer

  constructor(bytes: Buffer, start: number) {
    this.#bytes = bytes
    this.position = start
  }

  /** A long that is not negative; −1 for any other. */
  count(): number {
    let value = 0
    let factor = 1
    for (let read = 0; read < EXACT_BYTES; read++, factor *= 128) {
      // Past the end it reads undefined, which no comparison lets through.
      const byte = this.#bytes[this.position++] as number
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : NOT_HERE
    }
    return NOT_HERE
  }

  /** Null for a string that is not ASCII, or not here as a whole. */
  text(): string | null {
    const length = this.count()
    const from = this.position
    const to = from + length
    if (length < 0 || to > this.#bytes.length) return null
    for (let index = from; index < to; index++) if ((this.#bytes[index] as number) >= 0x80) return null
    this.position = to
    return length === 0 ? '' : this.#bytes.toString('latin1', from, to)
  }
}
