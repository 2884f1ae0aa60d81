import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { KafkaConnection } from './kafka-client.ts'

/** A request to a broker: `body` parts are written in order and must not change until the answer is there. */
export interface WireRequest {
  readonly apiKey: number
  readonly version: number
  readonly body: readonly Uint8Array[]
}

interface Pending {
  readonly resolve: (answer: WireReader) => void
  readonly reject: (error: Error) => void
  readonly sinceMs: number
}

// A produce request waits for all replicas at most 10 s: beyond this the broker does not answer at all.
const REQUEST_TIMEOUT_MS = 15_000
const CONNECT_WITHIN_MS = 5_000
const SIZE_BYTES = 4
// Up to here copying into one piece costs less than writing several.
const SMALL_BYTES = 16 * 1024
const HEAD_BYTES = 10
const NOTHING = Buffer.alloc(0)

/** One connection to one broker, which answers in the order of the requests. Any fault ends it for good. */
export class BrokerSocket {
  readonly #socket: Socket
  readonly #clientId: Buffer
  readonly #pending: Pending[] = []
  readonly #watch: NodeJS.Timeout
  #received: Buffer = NOTHING
  #fault: Error | undefined

  private constructor(socket: Socket, clientId: string) {
    this.#socket = socket
    this.#clientId = Buffer.from(clientId)
    socket.on('data', (bytes: Buffer) => this.#take(bytes))
    socket.on('error', (error) => this.#end(error))
    socket.on('close', () => this.#end(new Error('the broker closed the connection')))
    this.#watch = setInterval(() => this.#judge(), 1_000)
    this.#watch.unref()
  }

  /** Opens a connection, over TLS where the options say so. Rejects when there is none within `withinMs`. */
  static async open(
    address: string,
    { clientId, ssl }: KafkaConnection,
    withinMs = CONNECT_WITHIN_MS,
  ): Promise<BrokerSocket> {
    const at = address.lastIndexOf(':')
    const [host, port] = [address.slice(0, at).replace(/^\[|\]$/g, ''), Number(address.slice(at + 1))]
    const isPlain = ssl === undefined || ssl === false
    const socket = isPlain
      ? connectTcp({ host, port, noDelay: true, keepAlive: true })
      : connectTls({ host, port, servername: host, ...(ssl === true ? {} : ssl) }).setNoDelay(true)
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => fail(new Error(`no connection to ${address} in time`)), withinMs)
      const fail = (error: Error): void => {
        clearTimeout(late)
        socket.destroy()
        reject(error)
      }
      socket.once('error', fail)
      socket.once(isPlain ? 'connect' : 'secureConnect', () => {
        clearTimeout(late)
        socket.off('error', fail)
        resolve()
      })
    })
    return new BrokerSocket(socket, clientId)
  }

  get isOpen(): boolean {
    return this.#fault === undefined
  }

  /** Sends a request; its answer begins behind the header. Rejects when the connection ends before. */
  request({ apiKey, version, body }: WireRequest): Promise<WireReader> {
    if (this.#fault !== undefined) return Promise.reject(this.#fault)
    const head = Buffer.allocUnsafe(SIZE_BYTES + HEAD_BYTES + this.#clientId.length)
    let size = head.length - SIZE_BYTES
    for (const part of body) size += part.length
    head.writeInt32BE(size, 0)
    head.writeInt16BE(apiKey, 4)
    head.writeInt16BE(version, 6)
    // Answers come in order, so the correlation id says nothing.
    head.writeInt32BE(0, 8)
    head.writeInt16BE(this.#clientId.length, 12)
    head.set(this.#clientId, 14)
    if (size < SMALL_BYTES) this.#socket.write(Buffer.concat([head, ...body]))
    else {
      this.#socket.cork()
      for (const part of [head, ...body]) this.#socket.write(part)
      this.#socket.uncork()
    }
    return new Promise((resolve, reject) => this.#pending.push({ resolve, reject, sinceMs: performance.now() }))
  }

  close(): void {
    this.#end(new Error('closed'))
  }

  #take(bytes: Buffer): void {
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes])
    while (this.#received.length >= SIZE_BYTES) {
      const end = SIZE_BYTES + this.#received.readInt32BE(0)
      if (this.#received.length < end) return
      this.#pending.shift()?.resolve(new WireReader(this.#received.subarray(SIZE_BYTES + 4, end)))
      this.#received = this.#received.subarray(end)
    }
  }

  #judge(): void {
    const [first] = this.#pending
    if (first !== undefined && performance.now() - first.sinceMs > REQUEST_TIMEOUT_MS)
      this.#end(new Error(`no answer within ${REQUEST_TIMEOUT_MS} ms`))
  }

  #end(fault: Error): void {
    if (this.#fault !== undefined) return
    this.#fault = fault
    clearInterval(this.#watch)
    this.#socket.destroy()
    for (const { reject } of this.#pending.splice(0)) reject(fault)
  }
}

/** Reads an answer field by field. @throws RangeError past its end. */
export class WireReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  skip(length: number): void {
    this.#at += length
  }

  int8(): number {
    return this.#bytes.readInt8((this.#at += 1) - 1)
  }

  int16(): number {
    return this.#bytes.readInt16BE((this.#at += 2) - 2)
  }

  int32(): number {
    return this.#bytes.readInt32BE((this.#at += 4) - 4)
  }

  int64(): bigint {
    return this.#bytes.readBigInt64BE((this.#at += 8) - 8)
  }

  /** A text, or null where its length is −1. */
  string(): string | null {
    const length = this.int16()
    if (length < 0) return null
    return this.#bytes.toString('utf8', this.#at, (this.#at += length))
  }

  /** `length` bytes, not copied. */
  bytes(length: number): Buffer {
    return this.#bytes.subarray(this.#at, (this.#at += length))
  }

  array<T>(read: (reader: this) => T): T[] {
    const items: T[] = []
    for (let left = this.int32(); left > 0; left--) items.push(read(this))
    return items
  }
}

/** Encodes a text with its length in front; null is −1. */
export function wireString(text: string | null): Buffer {
  const bytes = Buffer.from(text ?? '')
  const length = Buffer.alloc(2)
  length.writeInt16BE(text === null ? -1 : bytes.length)
  return Buffer.concat([length, bytes])
}

/** Encodes 32-bit numbers, such as lengths of arrays. */
export function wireInt32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [index, value] of values.entries()) bytes.writeInt32BE(value, 4 * index)
  return bytes
}

/** Encodes a 16-bit number. */
export function wireInt16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}
