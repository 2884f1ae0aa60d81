import { BrokerSocket, wireInt32, wireString, type WireReader } from '@lockstep/runtime/testing'

const FETCH = { apiKey: 1, version: 4 }
const ANY_REPLICA = -1
const MAX_WAIT_MS = 100
const MAX_BYTES = 1024 * 1024
// Layout of a record batch, version 2.
const LENGTH_AT = 8
const LAST_DELTA_AT = 23
const RECORDS_AT = 61

// What 35 s at 2,000 commits a second bring, four times over.
const NOTES_BYTES = 64 * 1024 * 1024
const NOTES = 1_000_000

/** Record batches of one partition as they arrived. */
export interface Arrival {
  readonly batches: Buffer
  /** Since the Unix epoch. */
  readonly atMs: number
}

/** A consumer that does nothing but note when record batches arrive, from the start of every partition on. */
export interface Tail {
  /** What has arrived since the last call. */
  take(): Generator<Arrival>
  stop(): Promise<void>
}

/**
 * Reads a topic over one socket with one long poll at a time. What arrives is copied into one piece of memory, so that this
 * process' collector has nothing to do while it measures; it is taken apart later, by `valuesOf`.
 */
export async function tailTopic(broker: string, topic: string, partitions: number): Promise<Tail> {
  const socket = await BrokerSocket.open(broker, { brokers: [broker], namespace: '', clientId: 'tail' })
  const request = new FetchRequest(topic, partitions)
  const notes = new Notes()
  let isStopped = false
  const reading = (async () => {
    while (!isStopped) request.accept(await socket.request(request), notes)
  })()
  return {
    take: () => notes.take(),
    async stop() {
      isStopped = true
      await reading
      socket.close()
    },
  }
}

/** Bytes and times, in the order of arrival. */
class Notes {
  readonly #bytes = Buffer.allocUnsafeSlow(NOTES_BYTES)
  readonly #ends = new Uint32Array(NOTES)
  readonly #times = new Float64Array(NOTES)
  #count = 0
  #taken = 0

  add(batches: Buffer, atMs: number): void {
    const start = this.#endOf(this.#count - 1)
    if (start + batches.length > NOTES_BYTES || this.#count === NOTES) throw new Error('more arrived than can be noted')
    batches.copy(this.#bytes, start)
    this.#ends[this.#count] = start + batches.length
    this.#times[this.#count++] = atMs
  }

  *take(): Generator<Arrival> {
    for (; this.#taken < this.#count; this.#taken++) {
      const batches = this.#bytes.subarray(this.#endOf(this.#taken - 1), this.#endOf(this.#taken))
      yield { batches, atMs: this.#times[this.#taken] ?? Number.NaN }
    }
  }

  #endOf(index: number): number {
    return this.#ends[index] ?? 0
  }
}

const POSITION_BYTES = 4 + 8 + 4

/** One long poll for all partitions of a topic; sent again, it goes on behind what it has brought. */
class FetchRequest {
  readonly apiKey = FETCH.apiKey
  readonly version = FETCH.version
  readonly body: readonly Buffer[]
  readonly #positions: Buffer

  constructor(topic: string, partitions: number) {
    this.#positions = Buffer.alloc(partitions * POSITION_BYTES)
    for (let partition = 0; partition < partitions; partition++) {
      this.#positions.writeInt32BE(partition, partition * POSITION_BYTES)
      this.#positions.writeInt32BE(MAX_BYTES, partition * POSITION_BYTES + 12)
    }
    const isolation = Buffer.from([0])
    const head = [wireInt32(ANY_REPLICA, MAX_WAIT_MS, 1, MAX_BYTES), isolation, wireInt32(1), wireString(topic)]
    this.body = [Buffer.concat([...head, wireInt32(partitions)]), this.#positions]
  }

  /** Notes the bytes of each partition that has any, and moves its position behind them. */
  accept(answer: WireReader, notes: Notes): void {
    const atMs = performance.timeOrigin + performance.now()
    answer.skip(4)
    answer.array((topics) => {
      topics.string()
      topics.array((each) => {
        const [partition, code] = [each.int32(), each.int16()]
        if (code !== 0) throw new Error(`fetching was refused with error code ${code}`)
        each.skip(8 + 8)
        each.array((aborted) => aborted.skip(16))
        const bytes = each.bytes(Math.max(0, each.int32()))
        const end = wholeBatches(bytes)
        if (end === 0) return
        notes.add(bytes.subarray(0, end), atMs)
        this.#positions.writeBigInt64BE(nextOffset(bytes, end), partition * POSITION_BYTES + 4)
      })
    })
  }
}

/** Where the last whole batch ends: a fetch may tear one. */
function wholeBatches(bytes: Buffer): number {
  for (let at = 0; ;) {
    if (at + RECORDS_AT > bytes.length) return at
    const end = at + LENGTH_AT + 4 + bytes.readInt32BE(at + LENGTH_AT)
    if (end > bytes.length) return at
    at = end
  }
}

/** The offset behind the batches that end at `end`. */
function nextOffset(bytes: Buffer, end: number): bigint {
  let next = 0n
  for (let at = 0; at < end; at += LENGTH_AT + 4 + bytes.readInt32BE(at + LENGTH_AT))
    next = bytes.readBigInt64BE(at) + BigInt(bytes.readInt32BE(at + LAST_DELTA_AT)) + 1n
  return next
}

/** The values of the records in batches as fetched. */
export function* valuesOf(batches: Buffer): Generator<Buffer> {
  for (let start = 0; start < batches.length;) {
    const end = start + LENGTH_AT + 4 + batches.readInt32BE(start + LENGTH_AT)
    const cursor = { bytes: batches, at: start + RECORDS_AT }
    while (cursor.at < end) {
      const next = varint(cursor)
      const recordEnd = cursor.at + next
      cursor.at += 1
      varint(cursor)
      varint(cursor)
      const keyLength = varint(cursor)
      cursor.at += Math.max(0, keyLength)
      const length = varint(cursor)
      yield batches.subarray(cursor.at, cursor.at + length)
      cursor.at = recordEnd
    }
    start = end
  }
}

function varint(cursor: { readonly bytes: Buffer; at: number }): number {
  let value = 0
  for (let shift = 0; ; shift += 7) {
    const byte = cursor.bytes[cursor.at++]!
    value |= (byte & 0x7f) << shift
    if (byte < 0x80) return (value >>> 1) ^ -(value & 1)
  }
}
