import type { Arena } from './arena.ts'
import { CHANGE_OPS } from './avro-schemas.ts'
import { copyAll, copySlice } from './columns.ts'
import type { Slice } from './columns.ts'
import type { Change, ChangeOp } from './events.ts'
import { STAMP_LENGTH } from './stamp.ts'
import type { Stamp } from './stamp.ts'
import { HEADER_BYTES, WRITERS } from './wire-types.ts'

// Avro's long takes up to 10 bytes, a length up to 5.
const LONG_BYTES = 10
const MAX_LONG = 2n ** 63n - 1n
const FIXED_BYTES = HEADER_BYTES + 1 + 3 * 5 + 1 + STAMP_LENGTH + 4 * LONG_BYTES
const OPS = new Map<ChangeOp, number>(CHANGE_OPS.map((op, index) => [op, index * 2]))

/** One row change whose columns are encoded already, see `writeColumns`. */
export interface ChangeRow {
  readonly op: ChangeOp
  readonly table: string
  readonly before: Slice
  readonly after: Slice
  readonly index: number
}

/** What all changes of one transaction share. */
export type ChangeOrigin = Pick<Change, 'commitLsn' | 'xid' | 'commitTimeUs'>

/** Writes a change as Avro single-object bytes, the same that avsc writes for the newest schema. @throws RangeError */
export function writeChange(row: ChangeRow, stamp: Stamp, origin: ChangeOrigin, arena: Arena): Buffer {
  const { before, after, index } = row
  const op = OPS.get(row.op)
  if (op === undefined || !Number.isSafeInteger(index) || index < 0) throw new RangeError('not a row of a change')
  const { commitTimeUs } = origin
  if (commitTimeUs > MAX_LONG || commitTimeUs < -MAX_LONG - 1n) throw new RangeError('a long must fit into 64 bits')
  const table = tableBytes(row.table)
  const [beforeBytes, afterBytes] = [before.to - before.from, after.to - after.from]
  const target = arena.reserve(FIXED_BYTES + table.length + beforeBytes + afterBytes)
  let at = copyAll(WRITERS.change.header, target, arena.start)
  target[at++] = op
  at = copyAll(table, target, writeNumber(table.length * 2, target, at))
  at = copySlice(before, target, writeNumber(beforeBytes * 2, target, at))
  at = copySlice(after, target, writeNumber(afterBytes * 2, target, at))
  at = copyAll(stampBytes(stamp), target, writeNumber(STAMP_LENGTH * 2, target, at))
  // Unsigned 64 bit travels as the long of the same bits.
  at = writeBigLong(origin.commitLsn, target, at)
  at = writeNumber(index * 2, target, at)
  at = writeBigLong(origin.xid, target, at)
  return arena.take(writeBigLong(commitTimeUs, target, at))
}

function writeNumber(value: number, target: Uint8Array, start: number): number {
  let at = start
  let rest = value
  // Bit operations hold 31 bits, a position in a transaction may be larger.
  for (; rest > 0x7fffffff; rest = Math.floor(rest / 128)) target[at++] = (rest % 128) | 0x80
  for (; rest >= 128; rest >>>= 7) target[at++] = (rest & 0x7f) | 0x80
  target[at++] = rest
  return at
}

const long = new BigInt64Array(1)
const halves = new Uint32Array(long.buffer)
// Of the machine's byte order, which decides where the low half lies.
long[0] = 1n
const LOW = halves[0] === 1 ? 0 : 1

function writeBigLong(value: bigint, target: Uint8Array, start: number): number {
  long[0] = value
  const [low32, high32] = [halves[LOW]!, halves[1 - LOW]!]
  // Zigzag: all bits move up by one, and a negative number is inverted.
  const sign = high32 >>> 31 === 1 ? 0xffffffff : 0
  let low = ((low32 << 1) ^ sign) >>> 0
  let high = (((high32 << 1) | (low32 >>> 31)) ^ sign) >>> 0
  let at = start
  while (high !== 0 || low >= 128) {
    target[at++] = (low & 0x7f) | 0x80
    low = ((low >>> 7) | (high << 25)) >>> 0
    high >>>= 7
  }
  target[at++] = low
  return at
}

/** Remembers the encoding of one text: changes come in runs of one table and of one stamp. */
function rememberLast(): (text: string) => Uint8Array {
  let last = ''
  let bytes: Uint8Array = Buffer.alloc(0)
  return (text) => {
    if (text !== last) [last, bytes] = [text, Buffer.from(text)]
    return bytes
  }
}

const tableBytes = rememberLast()
const stampBytes = rememberLast()
