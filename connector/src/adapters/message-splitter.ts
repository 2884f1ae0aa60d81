const HEAD_BYTES = 5

/** Takes one message of the server: its type and where its body lies. The bytes are only valid during the call. */
export type TakeMessage = (type: number, bytes: Buffer, start: number, end: number) => void

/**
 * Splits what a socket brings into messages of Postgres' protocol. A message that lies in one chunk is handed on where it
 * lies; only one that chunks tear is put together first.
 */
export class MessageSplitter {
  readonly #take: TakeMessage
  /** The torn message, head included, and how much of it is there; while its length is unknown it is the head. */
  #torn = Buffer.alloc(HEAD_BYTES)
  #have = 0

  constructor(take: TakeMessage) {
    this.#take = take
  }

  /** Takes the next bytes of the stream. */
  push(chunk: Buffer): void {
    let at = this.#have === 0 ? 0 : this.#complete(chunk)
    while (at + HEAD_BYTES <= chunk.length) {
      const end = at + 1 + chunk.readUInt32BE(at + 1)
      if (end > chunk.length) break
      this.#take(chunk[at]!, chunk, at + HEAD_BYTES, end)
      at = end
    }
    if (at < chunk.length) this.#keep(chunk, at)
  }

  /** Adds to the torn message; hands it on when it is whole. Answers where the chunk goes on. */
  #complete(chunk: Buffer): number {
    let at = 0
    if (this.#have < HEAD_BYTES) {
      at = this.#append(chunk, at, HEAD_BYTES)
      if (this.#have < HEAD_BYTES) return at
    }
    const length = 1 + this.#torn.readUInt32BE(1)
    if (this.#torn.length < length) {
      const whole = Buffer.allocUnsafeSlow(length)
      this.#torn.copy(whole, 0, 0, this.#have)
      this.#torn = whole
    }
    at = this.#append(chunk, at, length)
    if (this.#have < length) return at
    const message = this.#torn
    this.#have = 0
    this.#torn = Buffer.alloc(HEAD_BYTES)
    this.#take(message[0]!, message, HEAD_BYTES, length)
    return at
  }

  #append(chunk: Buffer, at: number, until: number): number {
    const end = Math.min(chunk.length, at + until - this.#have)
    chunk.copy(this.#torn, this.#have, at, end)
    this.#have += end - at
    return end
  }

  #keep(chunk: Buffer, at: number): void {
    const left = chunk.length - at
    const length = left < HEAD_BYTES ? HEAD_BYTES : 1 + chunk.readUInt32BE(at + 1)
    this.#torn = Buffer.allocUnsafeSlow(length)
    this.#have = 0
    this.#append(chunk, at, left)
  }
}
