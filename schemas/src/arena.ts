import { copySlice } from './columns.ts'
import type { Slice } from './columns.ts'

// About 300 changes; small enough that a forgotten piece pins little.
const CHUNK_BYTES = 64 * 1024

/** Hands out pieces of larger buffers: many small records cost few allocations. A piece is never written again. */
export class Arena {
  #chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  #at = 0
  #large: Buffer | undefined

  /** Answers a buffer with room for `bytes` from `start` on, to be written before `take`. */
  reserve(bytes: number): Buffer {
    // A piece that may need more gets memory of its own, so that no chunk grows with the longest row ever seen.
    if (bytes > CHUNK_BYTES) return (this.#large = Buffer.allocUnsafeSlow(bytes))
    this.#large = undefined
    if (this.#at + bytes > CHUNK_BYTES) {
      this.#chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
      this.#at = 0
    }
    return this.#chunk
  }

  /** Where the reserved room begins. */
  get start(): number {
    return this.#large === undefined ? this.#at : 0
  }

  /** Hands out what was written from `start` to `end`. */
  take(end: number): Buffer {
    if (this.#large !== undefined) return Buffer.from(this.#large.subarray(0, end))
    const piece = this.#chunk.subarray(this.#at, end)
    this.#at = end
    return piece
  }

  /** Hands out a copy. */
  copy(slice: Slice): Buffer {
    const target = this.reserve(slice.to - slice.from)
    return this.take(copySlice(slice, target, this.start))
  }
}
