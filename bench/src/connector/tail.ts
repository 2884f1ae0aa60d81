import { BrokerSocket, wireInt32, wireString, type WireReader } from '@lockstep/runtime/testing'

const FETCH = { apiKey: 1, version: 4 }
const ANY_REPLICA = -1
const MAX_WAIT_MS = 100
const MAX_BYTES = 1024 * 1024
// Layout of a record batch, version 2.
const LENGTH_AT = 8
const LAST_DELTA_AT = 23
const RECORDS_AT = 61

/** Record batches as they arrived. */
export interface Arrival {
  readonly batches: Buffer
  /** Since the Unix epoch. */
  readonly atMs: number
}

/** A consumer that does nothing but note when record batches arrive, from the start of every partition on. */
export interface Tail {
  readonly arrivals: Arrival[]
  stop(): Promise<void>
}

/** Reads a topic over one socket with one long poll at a time; values are taken apart later, by `valuesOf`. */
export async function tailTopic(broker: string, topic: string, partitions: number): Promise<Tail> {
  const socket = await BrokerSocket.open(broker, { brokers: [broker], namespace: '', clientId: 'tail' })
  const arrivals: Arrival[] = []
  const offsets = new BigInt64Array(partitions)
  let isStopped = false
  const reading = (async () => {
    while (!isStopped) {
      const answer = await socket.request({ ...FETCH, body: fetchBody(topic, offsets) })
      const atMs = performance.timeOrigin + performance.now()
      for (const batches of take(answer, offsets)) arrivals.push({ batches, atMs })
    }
  })()
  return {
    arrivals,
    async stop() {
      isStopped = true
      await reading
      socket.close()
    },
  }
}

function fetchBody(topic: string, offsets: BigInt64Array): Buffer[] {
  const isolation = Buffer.from([0])
  const body = [wireInt32(ANY_REPLICA, MAX_WAIT_MS, 1, MAX_BYTES), isolation, wireInt32(1), wireString(topic)]
  body.push(wireInt32(offsets.length))
  for (const [partition, offset] of offsets.entries()) {
    const position = Buffer.alloc(8)
    position.writeBigInt64BE(offset)
    body.push(wireInt32(partition), position, wireInt32(MAX_BYTES))
  }
  return body
}

/** The bytes of each partition that has any; moves the offsets behind them. */
function take(answer: WireReader, offsets: BigInt64Array): Buffer[] {
  answer.skip(4)
  const found: Buffer[] = []
  answer.array((topics) => {
    topics.string()
    topics.array((each) => {
      const [partition, code] = [each.int32(), each.int16()]
      if (code !== 0) throw new Error(`fetching was refused with error code ${code}`)
      each.skip(8 + 8)
      each.array((aborted) => aborted.skip(16))
      const bytes = each.bytes(Math.max(0, each.int32()))
      let at = 0
      for (; at + RECORDS_AT <= bytes.length; at += LENGTH_AT + 4 + bytes.readInt32BE(at + LENGTH_AT))
        offsets[partition] = bytes.readBigInt64BE(at) + BigInt(bytes.readInt32BE(at + LAST_DELTA_AT)) + 1n
      if (at > 0) found.push(bytes)
    })
  })
  return found
}

/** The values of the records in batches as fetched. */
export function* valuesOf(batches: Buffer): Generator<Buffer> {
  for (let start = 0; start + RECORDS_AT <= batches.length;) {
    const end = start + LENGTH_AT + 4 + batches.readInt32BE(start + LENGTH_AT)
    if (end > batches.length) return
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
