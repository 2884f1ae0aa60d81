import type { RecordHeaders } from '../event-log.ts'
import { crc32c } from './crc32c.ts'

const MAGIC = 2
// Layout of a batch, version 2: offsets of the fields that are known only at its end.
const LENGTH_AT = 8
const MAGIC_AT = 16
const CRC_AT = 17
const ATTRIBUTES_AT = 21
const LAST_DELTA_AT = 23
const FIRST_TIME_AT = 27
const MAX_TIME_AT = 35
const PRODUCER_AT = 43
const EPOCH_AT = 51
const SEQUENCE_AT = 53
const COUNT_AT = 57
const HEAD_BYTES = 61
/** Bytes that a record takes besides key, value and headers, at most: four varints of 5 bytes, attributes, time, no header. */
export const RECORD_OVERHEAD = 23
const INITIAL_BYTES = 16 * 1024

/** Which producer writes a batch, and where the batch stands in its sequence: what lets the broker drop a repetition. */
export interface ProducerStamp {
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly sequence: number
}

const NO_HEADERS = Uint8Array.of(0)

/** Encodes the headers of one record: their number, then name and value of each. */
export function encodeHeaders(headers: RecordHeaders): Uint8Array {
  const texts = Object.entries(headers).flat()
  const parts = texts.flatMap((text) => [lengthOf(Buffer.byteLength(text)), Buffer.from(text)])
  return Buffer.concat([lengthOf(texts.length / 2), ...parts])
}

function lengthOf(length: number): Uint8Array {
  const bytes = Buffer.alloc(varintBytes(length << 1))
  writeVarint(bytes, 0, length << 1)
  return bytes
}

/** One record batch of one partition, encoded as records come. Used again after `reset`. */
export class RecordBatch {
  #bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES)
  #end = HEAD_BYTES
  #count = 0

  get count(): number {
    return this.#count
  }

  /** Encodes one record behind the others; its time is that of the batch. `headers` are as `encodeHeaders` wrote them. */
  append(key: Uint8Array | null, value: Uint8Array, headers: Uint8Array = NO_HEADERS): void {
    const keyBytes = key === null ? 0 : key.length
    const delta = this.#count++
    const body =
      2 + // attributes and time delta
      varintBytes(delta << 1) +
      (key === null ? 1 : varintBytes(keyBytes << 1) + keyBytes) +
      varintBytes(value.length << 1) +
      value.length +
      headers.length
    this.#reserve(body + 5)
    const bytes = this.#bytes
    let at = writeVarint(bytes, this.#end, body << 1)
    bytes[at++] = 0
    bytes[at++] = 0
    at = writeVarint(bytes, at, delta << 1)
    if (key === null) {
      bytes[at++] = 1 // −1
    } else {
      at = copy(key, bytes, writeVarint(bytes, at, keyBytes << 1))
    }
    at = copy(value, bytes, writeVarint(bytes, at, value.length << 1))
    this.#end = copy(headers, bytes, at)
  }

  /** The whole batch as it goes over the wire; valid until `reset`. */
  finish({ producerId, producerEpoch, sequence }: ProducerStamp, nowMs: number): Buffer {
    const bytes = this.#bytes
    bytes.fill(0, 0, LENGTH_AT)
    bytes.writeInt32BE(this.#end - LENGTH_AT - 4, LENGTH_AT)
    bytes.writeInt32BE(-1, LENGTH_AT + 4)
    bytes[MAGIC_AT] = MAGIC
    bytes.writeInt16BE(0, ATTRIBUTES_AT)
    bytes.writeInt32BE(this.#count - 1, LAST_DELTA_AT)
    const time = BigInt(nowMs)
    bytes.writeBigInt64BE(time, FIRST_TIME_AT)
    bytes.writeBigInt64BE(time, MAX_TIME_AT)
    bytes.writeBigInt64BE(producerId, PRODUCER_AT)
    bytes.writeInt16BE(producerEpoch, EPOCH_AT)
    bytes.writeInt32BE(sequence, SEQUENCE_AT)
    bytes.writeInt32BE(this.#count, COUNT_AT)
    bytes.writeUInt32BE(crc32c(bytes, ATTRIBUTES_AT, this.#end), CRC_AT)
    return bytes.subarray(0, this.#end)
  }

  reset(): void {
    this.#end = HEAD_BYTES
    this.#count = 0
  }

  #reserve(more: number): void {
    if (this.#end + more <= this.#bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#end + more))
    this.#bytes.copy(grown, 0, 0, this.#end)
    this.#bytes = grown
  }
}

// Below this a loop beats the native call.
const SHORT = 24

function copy(from: Uint8Array, to: Buffer, at: number): number {
  const { length } = from
  if (length > SHORT) to.set(from, at)
  else for (let index = 0; index < length; index++) to[at + index] = from[index]!
  return at + length
}

function varintBytes(value: number): number {
  let bytes = 1
  for (let rest = value >>> 7; rest !== 0; rest >>>= 7) bytes++
  return bytes
}

function writeVarint(to: Buffer, start: number, value: number): number {
  let at = start
  let rest = value
  for (; rest >= 0x80 || rest < 0; rest >>>= 7) to[at++] = (rest & 0x7f) | 0x80
  to[at++] = rest
  return at
}
