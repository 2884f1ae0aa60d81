// µs from 1970-01-01 to 2000-01-01, where Postgres' time begins.
const POSTGRES_EPOCH_US = 946_684_800_000_000n

/** Reads one pgoutput message in place. Every read checks its bounds and throws RangeError past the end. */
export class PgoutputReader {
  #bytes: Buffer = Buffer.alloc(0)
  #at = 0

  /** Begins at the first byte of a message; nothing of it is kept after the last read. */
  reset(bytes: Buffer): void {
    this.#bytes = bytes
    this.#at = 0
  }

  uint8(): number {
    const value = this.#bytes.readUInt8(this.#at)
    this.#at += 1
    return value
  }

  uint16(): number {
    const value = this.#bytes.readUInt16BE(this.#at)
    this.#at += 2
    return value
  }

  /** Unsigned: xids and OIDs pass 2³¹. */
  uint32(): number {
    const value = this.#bytes.readUInt32BE(this.#at)
    this.#at += 4
    return value
  }

  uint64(): bigint {
    const value = this.#bytes.readBigUInt64BE(this.#at)
    this.#at += 8
    return value
  }

  /** µs since the Unix epoch. */
  timeUs(): bigint {
    const value = this.#bytes.readBigInt64BE(this.#at) + POSTGRES_EPOCH_US
    this.#at += 8
    return value
  }

  /** A text that ends with a zero byte, copied. */
  cstring(): string {
    const end = this.#bytes.indexOf(0, this.#at)
    if (end === -1) throw new RangeError('a text does not end')
    const text = this.#bytes.toString('utf8', this.#at, end)
    this.#at = end + 1
    return text
  }

  /** `length` bytes as text, copied. */
  text(length: number): string {
    const start = this.#at
    this.skip(length)
    return this.#bytes.toString('utf8', start, this.#at)
  }

  skip(length: number): void {
    const end = this.#at + length
    if (end > this.#bytes.length) throw new RangeError('a field passes the end of its message')
    this.#at = end
  }
}
