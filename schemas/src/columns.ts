import { isAscii } from 'node:buffer'
import { UndecodableError } from './errors.ts'
import type { Columns } from './events.ts'

// Entry: varint name length, name, kind, and for text: varint value length, value. UTF-8, until the bytes end.
const KIND_NULL = 0
const KIND_TEXT = 1
// 5 × 7 bits exceed any buffer we accept.
const MAX_VARINT_BYTES = 5
// Postgres allows 1,600 columns in a table and 1,664 in a tuple (MaxTupleAttributeNumber).
const MAX_COLUMNS = 1664
// Measured on Node 24: up to about this length a loop beats Buffer.write (8 characters: 50 against 70 ns for two texts).
const SHORT = 16
// UTF-8's worst case per UTF-16 unit.
const WORST_BYTES_PER_UNIT = 3

const EMPTY: Columns = Object.freeze(Object.create(null) as Record<string, string | null>)

/** Bounds the bytes that {@link writeColumns} may need, without reading the text. */
export function columnsBound(columns: Columns): number {
  let bound = 0
  for (const name in columns) {
    const value = columns[name]
    bound += 2 * MAX_VARINT_BYTES + 1 + WORST_BYTES_PER_UNIT * (name.length + (value?.length ?? 0))
  }
  return bound
}

/** Writes a columns map from `start` into a buffer that has room for `columnsBound`; answers the end. */
export function writeColumns(columns: Columns, target: Buffer, start: number): number {
  let position = start
  for (const name in columns) {
    const value = columns[name]
    if (value === undefined) continue
    position = writeText(name, target, position)
    target[position++] = value === null ? KIND_NULL : KIND_TEXT
    if (value !== null) position = writeText(value, target, position)
  }
  return position
}

/**
 * Reads a columns map. The result has no prototype: a column named like a method of Object is absent unless sent.
 * Every length is checked against the bytes that remain, so nothing is allocated that the input does not hold.
 * @throws UndecodableError (truncated or malformed)
 */
export function readColumns(bytes: Buffer): Columns {
  if (bytes.length === 0) return EMPTY
  const columns = Object.create(null) as Record<string, string | null>
  // One native call for all text where that is possible: slices of one string cost a tenth of a call each.
  const cursor: Cursor = { bytes, ascii: isAscii(bytes) ? bytes.toString('latin1') : undefined, position: 0 }
  for (let count = 0; cursor.position < bytes.length; count++) {
    if (count === MAX_COLUMNS) throw new UndecodableError('LOCKSTEP_SCHEMA_MALFORMED', 'a row lists too many columns')
    const name = readText(cursor)
    if (name in columns) throw new UndecodableError('LOCKSTEP_SCHEMA_MALFORMED', 'a column is listed twice')
    const kind = bytes[cursor.position++]
    if (kind === undefined) throw truncated()
    if (kind > KIND_TEXT)
      throw new UndecodableError('LOCKSTEP_SCHEMA_MALFORMED', `unknown kind of column value: ${kind}`)
    columns[name] = kind === KIND_NULL ? null : readText(cursor)
  }
  return columns
}

interface Cursor {
  readonly bytes: Buffer
  readonly ascii: string | undefined
  position: number
}

function writeText(text: string, target: Buffer, start: number): number {
  return writeShortAscii(text, target, start) ?? writeAnyText(text, target, start)
}

/** Spares keys and names the native call; answers undefined for other text. */
function writeShortAscii(text: string, target: Buffer, start: number): number | undefined {
  const length = text.length
  if (length > SHORT) return undefined
  for (let index = 0; index < length; index++) {
    const unit = text.charCodeAt(index)
    if (unit >= 128) return undefined
    target[start + 1 + index] = unit
  }
  target[start] = length
  return start + 1 + length
}

function writeAnyText(text: string, target: Buffer, start: number): number {
  // The length stands in front but is known afterwards: text is written as if one byte held it, and moved if not.
  const written = target.write(text, start + 1)
  if (written < 128) {
    target[start] = written
    return start + 1 + written
  }
  const textStart = start + varintBytes(written)
  target.copyWithin(textStart, start + 1, start + 1 + written)
  let position = start
  let rest = written
  for (; rest >= 128; rest = Math.floor(rest / 128)) target[position++] = (rest % 128) | 0x80
  target[position] = rest
  return textStart + written
}

function varintBytes(value: number): number {
  let bytes = 1
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) bytes++
  return bytes
}

function readText(cursor: Cursor): string {
  let length = 0
  let factor = 1
  for (let count = 0; ; count++) {
    const byte = cursor.bytes[cursor.position++]
    if (byte === undefined) throw truncated()
    if (count === MAX_VARINT_BYTES) throw new UndecodableError('LOCKSTEP_SCHEMA_MALFORMED', 'a length is too long')
    length += (byte & 0x7f) * factor
    factor *= 128
    if (byte < 0x80) break
  }
  const start = cursor.position
  cursor.position += length
  if (cursor.position > cursor.bytes.length) throw truncated()
  return cursor.ascii?.slice(start, cursor.position) ?? cursor.bytes.toString('utf8', start, cursor.position)
}

function truncated(): UndecodableError {
  return new UndecodableError('LOCKSTEP_SCHEMA_TRUNCATED', 'the bytes of a columns map end inside an entry')
}
