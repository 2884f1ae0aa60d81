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

/** Bounds the bytes that one column takes besides its encoded name and its value. */
export const COLUMN_OVERHEAD = 1 + MAX_VARINT_BYTES

/** Encodes a column's name as it stands before its value, once for many rows. */
export function encodeColumnName(name: string): Buffer {
  const target = Buffer.alloc(MAX_VARINT_BYTES + WORST_BYTES_PER_UNIT * name.length)
  return Buffer.from(target.subarray(0, writeText(name, target, 0)))
}

/** Some bytes of a larger buffer. */
export interface Slice {
  readonly bytes: Uint8Array
  readonly from: number
  readonly to: number
}

/** Writes a column that is NULL; answers the end. */
export function writeNullColumn(name: Uint8Array, target: Buffer, start: number): number {
  const end = copyAll(name, target, start)
  target[end] = KIND_NULL
  return end + 1
}

/** Writes a column whose value is UTF-8 text; answers the end. */
export function writeTextColumn(name: Uint8Array, value: Slice, target: Buffer, start: number): number {
  let position = copyAll(name, target, start)
  target[position++] = KIND_TEXT
  let rest = value.to - value.from
  for (; rest >= 128; rest >>>= 7) target[position++] = (rest & 0x7f) | 0x80
  target[position++] = rest
  return copySlice(value, target, position)
}

/** Copies bytes; answers the end. */
export function copyAll(source: Uint8Array, target: Uint8Array, start: number): number {
  const { length } = source
  if (length > SHORT) target.set(source, start)
  else for (let index = 0; index < length; index++) target[start + index] = source[index]!
  return start + length
}

/** Copies some bytes; answers the end. */
export function copySlice({ bytes, from, to }: Slice, target: Uint8Array, start: number): number {
  const length = to - from
  if (length > SHORT) target.set(bytes.subarray(from, to), start)
  else for (let index = 0; index < length; index++) target[start + index] = bytes[from + index]!
  return start + length
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

/** Reads the row after a change; that before it where the bytes are the same: most updates leave the columns alone that rules name. */
export function readColumnsBeside(bytes: Buffer, otherBytes: Buffer, other: Columns): Columns {
  return bytes.equals(otherBytes) ? other : readColumns(bytes)
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
