// µs from 1970-01-01 to 2000-01-01, where Postgres' time begins.
const POSTGRES_EPOCH_US = 946_684_800_000_000n

/**
 * Reads one pgoutput message in place, somewhere inside what the socket brought. Every read checks the end of the
 * message, not of the bytes, and throws RangeError past it.
 */
export class PgoutputReader {
  bytes: Buffer = Buffer.alloc(0)
  at = 0
  end = 0

  /** Begins at the first byte of a message; nothing of it is kept after the last read. */
  reset(bytes: Buffer, start: number, end: number): void {
    this.bytes = bytes
    this.at = start
    this.end = end
  }

  uint8(): number {
    const { at } = this
    this.skip(1)
    return this.bytes[at]!
  }

  uint16(): number {
    const { at, bytes } = this
    this.skip(2)
    return (bytes[at]! << 8) | bytes[at + 1]!
  }

  /** Unsigned: xids and OIDs pass 2³¹. */
  uint32(): number {
    const { at, bytes } = this
    this.skip(4)
    return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  }

  uint64(): bigint {
    const { at } = this
    this.skip(8)
    return this.bytes.readBigUInt64BE(at)
  }

  /** µs since the Unix epoch. */
  timeUs(): bigint {
    const { at } = this
    this.skip(8)
    return this.bytes.readBigInt64BE(at) + POSTGRES_EPOCH_US
  }

  /** A text that ends with a zero byte, copied. */
  cstring(): string {
    const { at } = this
    const end = this.bytes.indexOf(0, at)
    if (end === -1 || end >= this.end) throw new RangeError('a text does not end')
    this.at = end + 1
    return this.bytes.toString('utf8', at, end)
  }

  /** `length` bytes as text, copied. */
  text(length: number): string {
    const { at } = this
    this.skip(length)
    return this.bytes.toString('utf8', at, this.at)
  }

  skip(length: number): void {
    const at = this.at + length
    if (at > this.end) throw new RangeError('a field passes the end of its message')
    this.at = at
  }
}
