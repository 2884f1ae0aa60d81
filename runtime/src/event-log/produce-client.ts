import type { KafkaConnection } from './kafka-client.ts'
import { BrokerSocket, wireInt16, wireInt32, wireString, type WireReader } from './kafka-wire.ts'
import type { RecordBatch } from './record-batch.ts'

/** Records of one partition that travel as one batch. */
export interface PartitionBatch {
  readonly topic: string
  readonly partition: number
  readonly batch: RecordBatch
}

interface Encoded {
  readonly topic: string
  readonly partition: number
  readonly bytes: Buffer
}

// Versions that Kafka 2.1 and every later one answer, see KIP-896.
const PRODUCE = { apiKey: 0, version: 7 }
const METADATA = { apiKey: 3, version: 5 }
const INIT_PRODUCER_ID = { apiKey: 22, version: 1 }
const ALL_REPLICAS = -1
const PRODUCE_TIMEOUT_MS = 10_000
// A leader election passes unnoticed, a longer outage reaches the caller.
const RETRY_FOR_MS = 3_000
const RETRY_PAUSE_MS = 50
// A broker that is gone together with its address refuses nothing, and every partition waits for its connection. Doubles each
// time, for links over which a TLS handshake takes longer.
const FIRST_CONNECT_WITHIN_MS = 1_000
const LAST_CONNECT_WITHIN_MS = 5_000
const SEQUENCES = 2 ** 31
/** The broker has this batch already: its first answer was lost. */
const DUPLICATE_SEQUENCE = 46
// Unknown topic or partition, leader not available, not the leader, timed out, broker or replica not available, network,
// coordinator loading or not available or moved, not enough replicas (after append), concurrent transactions, storage,
// fenced or unknown leader epoch.
const RETRIABLE = new Set([3, 5, 6, 7, 8, 9, 13, 14, 15, 16, 19, 20, 51, 56, 74, 75])

/** Says that a broker refused, with Kafka's error code. */
class RefusedError extends Error {
  readonly code: number

  constructor(what: string, code: number) {
    super(`${what} was refused with error code ${code}`)
    this.name = 'KafkaRefusedError'
    this.code = code
  }
}

const isFinal = (error: unknown): boolean => error instanceof RefusedError && !RETRIABLE.has(error.code)

/**
 * An idempotent producer: one id, a sequence per partition, one request in flight per broker. What is repeated after a
 * lost answer carries the same sequence, so that the broker keeps one copy in order. After a rejection the sequences
 * are unknown: close it and open another.
 */
export class ProduceClient {
  readonly #connection: KafkaConnection
  readonly #sockets = new Map<string, Promise<BrokerSocket>>()
  readonly #sequences = new Map<string, number>()
  /** `topic/partition` → address of its leader. */
  #leaders = new Map<string, string>()
  /** Addresses that failed last, to be asked after all others, and how long the next connection to each may take, ms. */
  readonly #failed = new Map<string, number>()
  #producer: { readonly id: bigint; readonly epoch: number } | undefined
  #isClosed = false

  constructor(connection: KafkaConnection) {
    this.#connection = connection
  }

  /** Appends the batches; resolves when all in-sync replicas hold every one of them. */
  async send(batches: readonly PartitionBatch[]): Promise<void> {
    const producer = (this.#producer ??= await this.#retry(() => this.#initProducer()))
    const nowMs = Date.now()
    let left = batches.map(({ topic, partition, batch }): Encoded => {
      const place = `${topic}/${partition}`
      const sequence = this.#sequences.get(place) ?? 0
      this.#sequences.set(place, (sequence + batch.count) % SEQUENCES)
      const stamp = { producerId: producer.id, producerEpoch: producer.epoch, sequence }
      return { topic, partition, bytes: batch.finish(stamp, nowMs) }
    })
    await this.#retry(async () => {
      if (left.some((each) => !this.#leaders.has(placeOf(each)))) await this.#loadLeaders(left)
      const { failed, error } = await this.#sendOnce(left)
      left = failed
      if (left.length === 0) return
      for (const each of left) this.#leaders.delete(placeOf(each))
      throw error
    })
  }

  close(): void {
    this.#isClosed = true
    for (const socket of this.#sockets.values()) void socket.then((open) => open.close()).catch(() => undefined)
    this.#sockets.clear()
  }

  /** One request per leader; answers what has to be sent again. Final refusals reject. */
  async #sendOnce(batches: readonly Encoded[]): Promise<{ failed: Encoded[]; error: unknown }> {
    const byLeader = Map.groupBy(batches, (each) => this.#leaders.get(placeOf(each)) ?? '')
    const failed: Encoded[] = []
    let error: unknown
    const sendTo = async (address: string, group: readonly Encoded[]): Promise<void> => {
      try {
        const socket = await this.#socket(address)
        const refused = readRefused(await socket.request({ ...PRODUCE, body: produceBody(group) }))
        for (const each of group) {
          const code = refused.get(placeOf(each))
          if (code === undefined) continue
          error = new RefusedError(placeOf(each), code)
          if (isFinal(error)) throw error
          failed.push(each)
        }
      } catch (caught) {
        error = caught
        if (isFinal(caught)) throw caught
        this.#noteFailed(address)
        failed.push(...group.filter((each) => !failed.includes(each)))
      }
    }
    await Promise.all([...byLeader].map(([address, group]) => sendTo(address, group)))
    return { failed, error }
  }

  async #initProducer(): Promise<{ id: bigint; epoch: number }> {
    const { address, socket } = await this.#anySocket()
    const answer = await socket.request({ ...INIT_PRODUCER_ID, body: [wireString(null), wireInt32(60_000)] })
    answer.skip(4)
    const code = answer.int16()
    if (code !== 0) {
      // It has none left and its controller is being elected; another one may have.
      this.#noteFailed(address)
      throw new RefusedError('a producer id', code)
    }
    this.#failed.delete(address)
    return { id: answer.int64(), epoch: answer.int16() }
  }

  async #loadLeaders(batches: readonly Encoded[]): Promise<void> {
    const topics = [...new Set(batches.map(({ topic }) => topic))]
    const { socket } = await this.#anySocket()
    const body = [wireInt32(topics.length), ...topics.map(wireString), Buffer.from([0])]
    const answer = await socket.request({ ...METADATA, body })
    this.#leaders = readLeaders(answer)
    const missing = batches.find((each) => !this.#leaders.has(placeOf(each)))
    if (missing !== undefined) throw new Error(`${placeOf(missing)} has no leader`)
  }

  #socket(address: string): Promise<BrokerSocket> {
    const known = this.#sockets.get(address)
    if (known !== undefined) return known.then((socket) => (socket.isOpen ? socket : this.#open(address)))
    return this.#open(address)
  }

  #open(address: string): Promise<BrokerSocket> {
    const withinMs = this.#failed.get(address) ?? FIRST_CONNECT_WITHIN_MS
    const opening = BrokerSocket.open(address, this.#connection, withinMs)
    this.#sockets.set(address, opening)
    opening.then(
      () => this.#failed.delete(address),
      () => {
        this.#sockets.delete(address)
        this.#failed.set(address, Math.min(2 * withinMs, LAST_CONNECT_WITHIN_MS))
      },
    )
    return opening
  }

  #noteFailed(address: string): void {
    this.#failed.set(address, this.#failed.get(address) ?? FIRST_CONNECT_WITHIN_MS)
  }

  /** The first broker that can be reached, of those known by now or given. */
  async #anySocket(): Promise<{ readonly address: string; readonly socket: BrokerSocket }> {
    let error: unknown
    const known = [...new Set([...this.#leaders.values(), ...this.#connection.brokers])]
    const failedOf = (address: string): number => Number(this.#failed.has(address))
    for (const address of known.toSorted((one, other) => failedOf(one) - failedOf(other))) {
      try {
        return { address, socket: await this.#socket(address) }
      } catch (caught) {
        error = caught
      }
    }
    throw error
  }

  async #retry<T>(attempt: () => Promise<T>): Promise<T> {
    const endMs = performance.now() + RETRY_FOR_MS
    for (;;) {
      try {
        return await attempt()
      } catch (error) {
        if (isFinal(error) || this.#isClosed || performance.now() > endMs) throw error
        await new Promise((resolve) => setTimeout(resolve, RETRY_PAUSE_MS))
      }
    }
  }
}

const placeOf = ({ topic, partition }: Encoded): string => `${topic}/${partition}`

function produceBody(batches: readonly Encoded[]): Buffer[] {
  const byTopic = Map.groupBy(batches, ({ topic }) => topic)
  const body = [wireString(null), wireInt16(ALL_REPLICAS), wireInt32(PRODUCE_TIMEOUT_MS, byTopic.size)]
  for (const [topic, group] of byTopic) {
    body.push(wireString(topic), wireInt32(group.length))
    for (const { partition, bytes } of group) body.push(wireInt32(partition, bytes.length), bytes)
  }
  return body
}

/** Error codes of the partitions that did not take their batch. */
function readRefused(answer: WireReader): Map<string, number> {
  const refused = new Map<string, number>()
  answer.array((topics) => {
    const topic = topics.string()
    topics.array((partitions) => {
      const place = `${topic}/${partitions.int32()}`
      const code = partitions.int16()
      // Base offset, time of append, start of the log.
      partitions.skip(8 + 8 + 8)
      if (code !== 0 && code !== DUPLICATE_SEQUENCE) refused.set(place, code)
    })
  })
  return refused
}

function readLeaders(answer: WireReader): Map<string, string> {
  answer.skip(4)
  const brokers = new Map(
    answer.array((each) => {
      const [node, host, port] = [each.int32(), each.string() ?? '', each.int32()]
      each.string()
      return [node, `${host}:${port}`] as const
    }),
  )
  answer.string()
  answer.skip(4)
  const leaders = new Map<string, string>()
  answer.array((topics) => {
    topics.skip(2)
    const topic = topics.string()
    topics.skip(1)
    topics.array((each) => {
      each.skip(2)
      const [partition, leader] = [each.int32(), brokers.get(each.int32())]
      for (let lists = 3; lists > 0; lists--) each.array((nodes) => nodes.int32())
      if (leader !== undefined) leaders.set(`${topic}/${partition}`, leader)
    })
  })
  return leaders
}
