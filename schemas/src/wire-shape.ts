import type { WireSchema } from './avro-schemas.ts'
import { UndecodableError } from './errors.ts'

// 10 × 7 bits hold an Avro long, 5 × 7 an int. A length above 5 bytes exceeds any buffer.
const LONG_BYTES = 10
const INT_BYTES = 5

/**
 * Walks the bytes of a record before avsc sees them, and refuses what does not lie exactly inside them. avsc trusts
 * lengths: an endless varint becomes NaN, and a NaN length leaves its shared buffer pool broken for every later record.
 * @throws UndecodableError (truncated, trailing or malformed)
 */
export function assertWireShape(schema: WireSchema, bytes: Buffer, start: number): void {
  let position = start
  for (const field of schema.fields) {
    if (field.type === 'string' || field.type === 'bytes') position = skipBlock(bytes, position)
    else if (field.type === 'boolean') position += 1
    else position = skipVarint(bytes, position, field.type === 'long' ? LONG_BYTES : INT_BYTES)
  }
  // Positions past the end read as undefined or arrive here: nothing was read from there.
  if (position > bytes.length) throw truncated()
  if (position < bytes.length)
    throw new UndecodableError('LOCKSTEP_SCHEMA_TRAILING', `${bytes.length - position} bytes follow the record`)
}

function skipVarint(bytes: Buffer, start: number, maxBytes: number): number {
  for (let position = start; position < start + maxBytes; position++) {
    const byte = bytes[position]
    if (byte === undefined) throw truncated()
    if (byte < 0x80) return position + 1
  }
  throw new UndecodableError('LOCKSTEP_SCHEMA_MALFORMED', `a number is longer than ${maxBytes} bytes`)
}

function skipBlock(bytes: Buffer, start: number): number {
  let length = 0
  let factor = 1
  for (let position = start; position < start + INT_BYTES; position++) {
    const byte = bytes[position]
    if (byte === undefined) throw truncated()
    length += (byte & 0x7f) * factor
    factor *= 128
    if (byte >= 0x80) continue
    if (length % 2 === 1) throw new UndecodableError('LOCKSTEP_SCHEMA_MALFORMED', 'a length is negative')
    return position + 1 + length / 2
  }
  throw new UndecodableError('LOCKSTEP_SCHEMA_MALFORMED', `a length is longer than ${INT_BYTES} bytes`)
}

function truncated(): UndecodableError {
  return new UndecodableError('LOCKSTEP_SCHEMA_TRUNCATED', 'the bytes end inside a field')
}
