import type { Arena } from './arena.ts'
import { SCHEMA_VERSIONS } from './avro-schemas.ts'
import type { WireEnum } from './avro-schemas.ts'
import { copyAll } from './columns.ts'
import type { Change, ChangeOp } from './events.ts'
import { STAMP_LENGTH } from './stamp.ts'
import type { Stamp } from './stamp.ts'
import { HEADER_BYTES, WRITERS } from './wire-types.ts'

// Avro's long takes up to 10 bytes, a length up to 5.
const LONG_BYTES = 10
const MAX_LONG = 2n ** 63n - 1n
const FIXED_BYTES = HEADER_BYTES + 1 + 3 * 5 + 1 + STAMP_LENGTH + 4 * LONG_BYTES
const SYMBOLS = (SCHEMA_VERSIONS.at(-1)!.change.fields[0]!.type as WireEnum).symbols
const OPS = new Map(SYMBOLS.map((symbol, index) => [symbol as ChangeOp, index * 2]))

/** One row change whose columns are encoded already, see `writeColumns`. */
export interface ChangeRow {
  readonly op: ChangeOp
  readonly table: string
  readonly before: Uint8Array
  readonly after: Uint8Array
  readonly index: number
}

/** What all changes of one transaction share, encoded once. */
export interface TransactionFields {
  readonly lsn: Uint8Array
  readonly xidAndTime: Uint8Array
}

/** Encodes the fields that are the same in every change of a transaction. @throws RangeError past 64 bits. */
export function encodeTransaction(
  { commitLsn, xid, commitTimeUs }: Pick<Change, 'commitLsn' | 'xid' | 'commitTimeUs'>,
  arena: Arena,
): TransactionFields {
  if (commitTimeUs > MAX_LONG || commitTimeUs < -MAX_LONG - 1n) throw new RangeError('a long must fit into 64 bits')
  const target = arena.reserve(3 * LONG_BYTES)
  const { start } = arena
  // Unsigned 64 bit travels as the long of the same bits.
  const lsnEnd = writeBigLong(commitLsn, target, start)
  const end = writeBigLong(commitTimeUs, target, writeBigLong(xid, target, lsnEnd))
  const bytes = arena.take(end)
  return { lsn: bytes.subarray(0, lsnEnd - start), xidAndTime: bytes.subarray(lsnEnd - start) }
}

/** Writes a change as Avro single-object bytes, the same that avsc writes for the newest schema. @throws RangeError */
export function writeChange(row: ChangeRow, stamp: Stamp, transaction: TransactionFields, arena: Arena): Buffer {
  const op = OPS.get(row.op)
  if (op === undefined || !Number.isSafeInteger(row.index) || row.index < 0)
    throw new RangeError('not a row of a change')
  const table = tableBytes(row.table)
  const target = arena.reserve(FIXED_BYTES + table.length + row.before.length + row.after.length)
  let at = copyAll(WRITERS.change.header, target, arena.start)
  target[at++] = op
  at = writeBlock(table, target, at)
  at = writeBlock(row.before, target, at)
  at = writeBlock(row.after, target, at)
  at = writeBlock(stampBytes(stamp), target, at)
  at = writeNumber(row.index * 2, target, copyAll(transaction.lsn, target, at))
  return arena.take(copyAll(transaction.xidAndTime, target, at))
}

function writeBlock(block: Uint8Array, target: Buffer, start: number): number {
  return copyAll(block, target, writeNumber(block.length * 2, target, start))
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
