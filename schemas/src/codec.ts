import { Arena } from './arena.ts'
import { writeChange } from './change-writer.ts'
import { columnsBound, readColumns, readColumnsBeside, writeColumns } from './columns.ts'
import { UndecodableError } from './errors.ts'
import type { Change, DeadLetter, Flush, LogEvent, PurgeCommand, Watermark } from './events.ts'
import type { Lsn } from './lsn.ts'
import { readPlainChange, readPlainPurge } from './plain-readers.ts'
import { ScratchBuffer } from './scratch-buffer.ts'
import { parseStamp } from './stamp.ts'
import { parseTag } from './tag.ts'
import { assertWireShape } from './wire-shape.ts'
import { HEADER_BYTES, MARKER, READERS, WRITERS } from './wire-types.ts'
import type { Writer } from './wire-types.ts'

const MAX_GENERATION = 0xffffffffn
const PLAIN_READERS = new Map<bigint, (bytes: Buffer, start: number) => LogEvent | null>([
  [WRITERS.purge.header.readBigUInt64LE(2), readPlainPurge],
  [WRITERS.change.header.readBigUInt64LE(2), readPlainChange],
])
const record = new ScratchBuffer()
const columns = new ScratchBuffer()
const arena = new Arena()

/** Encodes an event as Avro single-object bytes. The result is the caller's. @throws Error for a value out of range. */
export function encodeEvent(event: LogEvent): Buffer {
  switch (event.kind) {
    case 'change':
      return encodeChange(event)
    case 'watermark':
      return write(WRITERS.watermark, { ...event, lsn: signed(event.lsn) })
    case 'flush':
      return write(WRITERS.flush, { ...event, generation: BigInt(event.generation) })
    case 'purge':
      return write(WRITERS.purge, wirePurge(event))
    case 'dead-letter':
      return write(WRITERS['dead-letter'], event)
  }
}

/** Decodes any event of any known schema version. @throws UndecodableError (poison) for anything else. */
export function decodeEvent(bytes: Buffer): LogEvent {
  if (bytes.length < HEADER_BYTES)
    throw new UndecodableError(
      'LOCKSTEP_SCHEMA_FRAMING',
      `a record has at least ${HEADER_BYTES} bytes, not ${bytes.length}`,
    )
  if (bytes.readUInt16BE(0) !== MARKER)
    throw new UndecodableError(
      'LOCKSTEP_SCHEMA_FRAMING',
      'the bytes do not begin with the single-object marker c301; Confluent framing is not read',
    )
  const fingerprint = bytes.readBigUInt64LE(2)
  const reader = READERS.get(fingerprint)
  if (!reader) {
    const text = fingerprint.toString(16).padStart(16, '0')
    throw new UndecodableError(
      'LOCKSTEP_SCHEMA_FINGERPRINT',
      `no known schema has the fingerprint ${text}; upgrade this process`,
    )
  }
  try {
    const plain = PLAIN_READERS.get(fingerprint)?.(bytes, HEADER_BYTES)
    if (plain) return plain
    assertWireShape(reader.written, bytes, HEADER_BYTES)
    const wire: unknown = reader.type.fromBuffer(bytes.subarray(HEADER_BYTES), reader.resolver)
    return FROM_WIRE[reader.kind](wire as never)
  } catch (error) {
    if (error instanceof UndecodableError) throw error
    throw new UndecodableError(
      'LOCKSTEP_SCHEMA_MALFORMED',
      `a field of a ${reader.kind} holds an impossible value`,
      error,
    )
  }
}

function encodeChange(change: Change): Buffer {
  const buffer = columns.atLeast(columnsBound(change.before) + columnsBound(change.after))
  const middle = writeColumns(change.before, buffer, 0)
  const end = writeColumns(change.after, buffer, middle)
  const [before, after] = [
    { bytes: buffer, from: 0, to: middle },
    { bytes: buffer, from: middle, to: end },
  ]
  const bytes = writeChange({ ...change, before, after }, change.stamp, change, arena)
  columns.trim()
  // A copy: what one caller keeps must not keep the records of others.
  return Buffer.from(bytes)
}

function write(writer: Writer, wire: object): Buffer {
  let buffer = record.atLeast(HEADER_BYTES)
  let end = writer.type.encode(wire, buffer, HEADER_BYTES)
  if (end < 0) {
    // A negative answer is the number of bytes that were missing.
    buffer = record.atLeast(buffer.length - end)
    end = writer.type.encode(wire, buffer, HEADER_BYTES)
  }
  writer.header.copy(buffer, 0)
  return record.take(end)
}

// Written out: a storm encodes these by the hundred thousand, and spreading costs more than a field.
function wirePurge({ id, tag, stamp, commitLsn, commitTimeUs, busId, reason }: PurgeCommand): object {
  return { id, tag, stamp, commitLsn: signed(commitLsn), commitTimeUs, busId, reason }
}

/** Unsigned 64 bit travels as the long of the same bits. */
function signed(value: bigint): bigint {
  return BigInt.asIntN(64, value)
}

function unsigned(value: bigint): bigint {
  return BigInt.asUintN(64, value)
}

interface WireChange extends Omit<Change, 'kind' | 'before' | 'after' | 'index'> {
  readonly before: Buffer
  readonly after: Buffer
  readonly index: bigint
}

interface WireFlush extends Omit<Flush, 'generation'> {
  readonly generation: bigint
}

/** Checks what Avro cannot: stamps, tags, ranges. Generated record classes become plain objects here. */
const FROM_WIRE = {
  change: (wire: WireChange): Change => {
    const before = readColumns(wire.before)
    return {
      kind: 'change',
      op: wire.op,
      table: wire.table,
      before,
      after: readColumnsBeside(wire.after, wire.before, before),
      stamp: parseStamp(wire.stamp),
      commitLsn: unsigned(wire.commitLsn) as Lsn,
      index: count(wire.index),
      xid: unsigned(wire.xid),
      commitTimeUs: wire.commitTimeUs,
    }
  },
  watermark: (wire: Watermark): Watermark => ({
    kind: 'watermark',
    stamp: parseStamp(wire.stamp),
    lsn: unsigned(wire.lsn) as Lsn,
    partitions: positive(wire.partitions),
    echo: echo(wire.echo),
  }),
  flush: (wire: WireFlush): Flush => ({
    kind: 'flush',
    generation: generation(wire.generation),
    reason: wire.reason,
    edge: wire.edge,
    partitions: positive(wire.partitions),
  }),
  purge: (wire: PurgeCommand): PurgeCommand => ({
    kind: 'purge',
    id: wire.id,
    tag: parseTag(wire.tag),
    stamp: parseStamp(wire.stamp),
    commitLsn: unsigned(wire.commitLsn) as Lsn,
    commitTimeUs: wire.commitTimeUs,
    busId: wire.busId,
    reason: wire.reason,
  }),
  'dead-letter': (wire: DeadLetter): DeadLetter => ({
    kind: 'dead-letter',
    code: wire.code,
    message: wire.message,
    topic: wire.topic,
    partition: wire.partition,
    offset: wire.offset,
    payload: wire.payload,
  }),
}

function count(value: bigint): number {
  if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) throw new RangeError('not a count')
  return Number(value)
}

function positive(value: number): number {
  if (value < 1) throw new RangeError('a topic has at least one partition')
  return value
}

function generation(value: bigint): number {
  if (value < 0n || value > MAX_GENERATION) throw new RangeError('not a generation')
  return Number(value)
}

function echo(text: string): string {
  // Redis' TIME in µs has 16 digits until the year 2286; the invalidator and Lua read it as a number.
  if (!/^\d{0,16}$/.test(text)) throw new RangeError('not a Redis time')
  return text
}
