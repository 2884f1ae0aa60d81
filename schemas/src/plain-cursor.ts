// What more bytes hold is beyond what a double counts exactly; times in µs take eight.
const EXACT_BYTES = 8
const NOT_HERE = -1

/** Reads the fields of an Avro record one after the other, those that are plain; what follows one that is not means nothing. */
export class PlainCursor {
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
      if (byte < 0x80) return value % 2 === 0 && value <= Number.MAX_SAFE_INTEGER ? value / 2 : NOT_HERE
    }
    return NOT_HERE
  }

  /** Null for a string that is not ASCII, or not here as a whole. */
  text(): string | null {
    const from = this.#skip()
    const to = this.position
    if (from < 0) return null
    for (let index = from; index < to; index++) if ((this.#bytes[index] as number) >= 0x80) return null
    return from === to ? '' : this.#bytes.toString('latin1', from, to)
  }

  /** Null for bytes that are not here as a whole. Not a copy. */
  block(): Buffer | null {
    const from = this.#skip()
    return from < 0 ? null : this.#bytes.subarray(from, this.position)
  }

  /** Steps over a length and as many bytes; answers where they begin, −1 where they are not here as a whole. */
  #skip(): number {
    const length = this.count()
    const from = this.position
    if (length < 0 || from + length > this.#bytes.length) return NOT_HERE
    this.position = from + length
    return from
  }
}
