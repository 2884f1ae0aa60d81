import type { Message, Producer } from 'kafkajs'
import type { LogRecord } from '../event-log.ts'
import { logError, reasonOf } from './errors.ts'
import { createClient, type KafkaConnection } from './kafka-client.ts'
import type { Partitioner } from './partitioner.ts'

// Below the broker's default max.message.bytes of 1 MiB with room for headers.
const MAX_SEND_BYTES = 900 * 1024
// 1,000 records per send is the fastest size measured; beyond a few thousand one send only delays its first caller.
const MAX_SEND_RECORDS = 5_000
// Bytes of framing per record, an upper bound.
const RECORD_OVERHEAD = 32
const PRODUCE_TIMEOUT_MS = 10_000
// About 3 s: a leader election passes unnoticed, a longer outage reaches the caller.
const PRODUCE_RETRIES = 5

interface Call {
  readonly topic: string
  readonly records: readonly LogRecord[]
  /** Records before this index were handed to an earlier send. */
  sent: number
  readonly resolve: () => void
  readonly reject: (reason: unknown) => void
}

interface Send {
  readonly topics: Map<string, Message[]>
  /** Calls whose last record is in this send. */
  readonly complete: Call[]
}

/** Looks up the partitioner of a full topic name; may ask the brokers the first time. */
export type PartitionerOf = (topic: string) => Promise<Partitioner>

/**
 * Appends records in call order with one request in flight; calls that wait meanwhile share the next one. An error
 * leaves sequence numbers unknown, so it discards the client and rejects every call that is queued: the callers send
 * again in their own order, and no later record overtakes an earlier one.
 */
export class KafkaProducer {
  readonly #connection: KafkaConnection
  readonly #partitionerOf: PartitionerOf
  readonly #partitioners = new Map<string, Partitioner>()
  #queue: Call[] = []
  #producer: Promise<Producer> | undefined
  #draining: Promise<void> | undefined
  #isClosed = false

  constructor(connection: KafkaConnection, partitionerOf: PartitionerOf) {
    this.#connection = connection
    this.#partitionerOf = partitionerOf
  }

  produce(topic: string, records: readonly LogRecord[]): Promise<void> {
    if (this.#isClosed) return Promise.reject(logError('LOCKSTEP_LOG_CLOSED', { topic }))
    const oversize = records.find((record) => bytesOf(record) > MAX_SEND_BYTES)
    if (oversize !== undefined) {
      const context = { topic, bytes: bytesOf(oversize), limit: MAX_SEND_BYTES }
      return Promise.reject(logError('LOCKSTEP_LOG_RECORD', context))
    }
    if (records.length === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#queue.push({ topic, records, sent: 0, resolve, reject })
      // One microtask later, so that calls of the same turn share the first request too.
      this.#draining ??= Promise.resolve().then(() => this.#drain())
    })
  }

  /** Sends what is queued, then disconnects. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#draining
    await this.#discard()
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      let send: Send | undefined
      try {
        await this.#loadPartitioners()
        send = this.#nextSend()
        await this.#transmit(send)
        for (const call of send.complete) call.resolve()
      } catch (error) {
        this.#reject([...(send?.complete ?? []), ...this.#queue.splice(0)], error)
        void this.#discard()
      }
    }
    this.#draining = undefined
  }

  async #transmit({ topics }: Send): Promise<void> {
    if (topics.size === 0) return
    this.#producer ??= this.#connect()
    const producer = await this.#producer
    const topicMessages = [...topics].map(([topic, messages]) => ({ topic, messages }))
    await producer.sendBatch({ acks: -1, timeout: PRODUCE_TIMEOUT_MS, topicMessages })
  }

  async #loadPartitioners(): Promise<void> {
    for (const { topic } of this.#queue) {
      if (!this.#partitioners.has(topic)) this.#partitioners.set(topic, await this.#partitionerOf(topic))
    }
  }

  #nextSend(): Send {
    const send: Send = { topics: new Map(), complete: [] }
    const room = { bytes: MAX_SEND_BYTES, records: MAX_SEND_RECORDS }
    let taken = 0
    for (const call of this.#queue) {
      const partitioner = this.#partitioners.get(call.topic)
      // A call that came while the partition counts were asked for waits for the next send.
      if (partitioner === undefined) break
      if (!this.#accept(call, partitioner)) {
        taken += 1
        continue
      }
      fill(send.topics, call, partitioner, room)
      if (call.sent < call.records.length) break
      send.complete.push(call)
      taken += 1
    }
    this.#queue = this.#queue.slice(taken)
    return send
  }

  #accept(call: Call, partitioner: Partitioner): boolean {
    if (call.sent > 0) return true
    const strange = call.records.find((record) => !partitioner.accepts(record))
    if (strange === undefined) return true
    call.reject(logError('LOCKSTEP_LOG_PARTITION', { topic: call.topic, partition: strange.partition }))
    return false
  }

  #reject(calls: readonly Call[], error: unknown): void {
    const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
    const isOurs = typeof code === 'string' && code.startsWith('LOCKSTEP_')
    const reason = isOurs ? error : logError('LOCKSTEP_LOG_PRODUCE', { reason: reasonOf(error) }, error)
    for (const call of calls) call.reject(reason)
  }

  async #connect(): Promise<Producer> {
    const producer = createClient(this.#connection, PRODUCE_RETRIES).producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner:
        () =>
        ({ message }) =>
          message.partition ?? 0,
    })
    await producer.connect()
    return producer
  }

  async #discard(): Promise<void> {
    const producer = this.#producer
    this.#producer = undefined
    await producer?.then((open) => open.disconnect()).catch(() => undefined)
  }
}

function bytesOf({ key, value }: LogRecord): number {
  return value.length + (key === null ? 0 : Buffer.byteLength(key)) + RECORD_OVERHEAD
}

function fill(
  topics: Map<string, Message[]>,
  call: Call,
  partitioner: Partitioner,
  room: { bytes: number; records: number },
): void {
  const messages = topics.get(call.topic) ?? []
  while (call.sent < call.records.length) {
    const record = call.records[call.sent]
    if (record === undefined) break
    const bytes = bytesOf(record)
    if (room.records === 0 || bytes > room.bytes) break
    messages.push({ key: record.key, value: record.value, partition: partitioner.choose(record) })
    room.bytes -= bytes
    room.records -= 1
    call.sent += 1
  }
  if (messages.length > 0) topics.set(call.topic, messages)
}
