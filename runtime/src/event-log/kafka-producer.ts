import type { LogRecord } from '../event-log.ts'
import { logError, reasonOf } from './errors.ts'
import type { KafkaConnection } from './kafka-client.ts'
import { keyBytesOf, type Partitioner } from './partitioner.ts'
import { ProduceClient, type PartitionBatch } from './produce-client.ts'
import { encodeHeaders, RECORD_OVERHEAD, RecordBatch } from './record-batch.ts'

// Below the broker's default max.message.bytes of 1 MiB with room for headers.
const MAX_SEND_BYTES = 900 * 1024
// 1,000 records per send is the fastest size measured; beyond a few thousand one send only delays its first caller.
const MAX_SEND_RECORDS = 5_000

interface Call {
  readonly topic: string
  readonly records: readonly LogRecord[]
  /** Records before this index were handed to an earlier send. */
  sent: number
  readonly resolve: () => void
  readonly reject: (reason: unknown) => void
}

interface Send {
  readonly batches: readonly PartitionBatch[]
  /** Calls whose last record is in this send. */
  readonly complete: readonly Call[]
}

/** What is known of one topic, with a batch per partition that is filled again and again. */
interface Target {
  readonly partitioner: Partitioner
  readonly batches: PartitionBatch[]
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
  readonly #targets = new Map<string, Target>()
  #queue: Call[] = []
  #client: ProduceClient | undefined
  #draining: Promise<void> | undefined
  #isClosed = false

  constructor(connection: KafkaConnection, partitionerOf: PartitionerOf) {
    this.#connection = connection
    this.#partitionerOf = partitionerOf
  }

  produce(topic: string, records: readonly LogRecord[]): Promise<void> {
    if (this.#isClosed) return Promise.reject(logError('LOCKSTEP_LOG_CLOSED', { topic }))
    const oversize = records.find(isOversize)
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
    this.#discard()
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      let send: Send | undefined
      try {
        await this.#loadTargets()
        send = this.#nextSend()
        if (send.batches.length > 0) await (this.#client ??= new ProduceClient(this.#connection)).send(send.batches)
        for (const call of send.complete) call.resolve()
      } catch (error) {
        this.#reject([...(send?.complete ?? []), ...this.#queue.splice(0)], error)
        this.#discard()
      } finally {
        for (const { batch } of send?.batches ?? []) batch.reset()
      }
    }
    this.#draining = undefined
  }

  async #loadTargets(): Promise<void> {
    for (const { topic } of this.#queue) {
      if (this.#targets.has(topic)) continue
      const partitioner = await this.#partitionerOf(topic)
      const batches = Array.from({ length: partitioner.count }, (_none, partition) => {
        return { topic, partition, batch: new RecordBatch() }
      })
      this.#targets.set(topic, { partitioner, batches })
    }
  }

  #nextSend(): Send {
    const complete: Call[] = []
    const targets = new Set<Target>()
    const room = { bytes: MAX_SEND_BYTES, records: MAX_SEND_RECORDS }
    let taken = 0
    for (const call of this.#queue) {
      const target = this.#targets.get(call.topic)
      // A call that came while the partition counts were asked for waits for the next send.
      if (target === undefined) break
      if (!this.#accept(call, target.partitioner)) {
        taken += 1
        continue
      }
      targets.add(target)
      fill(call, target, room)
      if (call.sent < call.records.length) break
      complete.push(call)
      taken += 1
    }
    this.#queue.splice(0, taken)
    const batches = [...targets].flatMap((target) => target.batches.filter(({ batch }) => batch.count > 0))
    return { batches, complete }
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

  #discard(): void {
    this.#client?.close()
    this.#client = undefined
  }
}

function bytesOf({ key, value, headers }: LogRecord): number {
  const keyBytes = typeof key === 'string' ? Buffer.byteLength(key) : (key?.length ?? 0)
  const headerBytes = headers === undefined ? 0 : encodeHeaders(headers).length
  return value.length + keyBytes + headerBytes + RECORD_OVERHEAD
}

// A text takes three bytes per unit at most: most records need no count.
const isOversize = (record: LogRecord): boolean =>
  (record.headers !== undefined ||
    record.value.length + 3 * (record.key?.length ?? 0) + RECORD_OVERHEAD > MAX_SEND_BYTES) &&
  bytesOf(record) > MAX_SEND_BYTES

/** Encodes records of a call while there is room in the request. */
function fill(call: Call, { partitioner, batches }: Target, room: { bytes: number; records: number }): void {
  for (; call.sent < call.records.length; call.sent++) {
    const record = call.records[call.sent]!
    const key = keyBytesOf(record.key)
    const headers = record.headers === undefined ? undefined : encodeHeaders(record.headers)
    const bytes = record.value.length + (key?.length ?? 0) + (headers?.length ?? 0) + RECORD_OVERHEAD
    if (room.records === 0 || bytes > room.bytes) return
    batches[partitioner.choose(record, key)]?.batch.append(key, record.value, headers)
    room.bytes -= bytes
    room.records -= 1
  }
}
