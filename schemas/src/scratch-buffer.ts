// A typical change takes about 150 bytes; Postgres rows may take megabytes, which must not stay allocated.
const INITIAL_BYTES = 4 * 1024
const RETAINED_BYTES = 1024 * 1024

/** Is a buffer that is written again and again, grown for a large record and given back after it. */
export class ScratchBuffer {
  #buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES)

  /** Answers a buffer of at least `bytes`; its content is undefined. */
  atLeast(bytes: number): Buffer {
    if (bytes > this.#buffer.length) this.#buffer = Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(bytes)))
    return this.#buffer
  }

  /** Copies the first `length` bytes out and gives back what a very large record took. */
  take(length: number): Buffer {
    const copy = Buffer.from(this.#buffer.subarray(0, length))
    this.trim()
    return copy
  }

  /** Gives back what a very large record took. */
  trim(): void {
    if (this.#buffer.length > RETAINED_BYTES) this.#buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES)
  }
}
