import { randomUUID } from 'node:crypto'
import type { Consumer, EachBatchPayload, IHeaders, KafkaMessage } from 'kafkajs'
import type { BatchHandler, ReceivedRecord, RecordHeaders, Subscription } from '../event-log.ts'
import { logError, reasonOf } from './errors.ts'
import type { KafkaAdmin } from './kafka-admin.ts'
import { createClient, isConnectionFault, type KafkaConnection } from './kafka-client.ts'
import { PartitionFeed } from './partition-feed.ts'
import { ProgressWatchdog } from './progress-watchdog.ts'
import { HandlerRun, subscriptionOf } from './subscription.ts'

/** Timings of a consumer, ms; tests shorten them. */
export interface ConsumerTimings {
  /** Longest wait between a commit() and its request. */
  readonly commitEveryMs: number
  /** How long records may wait without any arriving before the subscription fails. */
  readonly stallTimeoutMs: number
}

/** 50 ms keep the repeated work after a crash small; 60 s is the bound of fault K10. */
export const DEFAULT_TIMINGS: ConsumerTimings = { commitEveryMs: 50, stallTimeoutMs: 60_000 }

// kafkajs sends heartbeats only between fetches: a longer poll delays rebalances (0.3–1 s with 100–200 ms, 2–9 s with 5 s).
const MAX_WAIT_MS = 100
// When its last broker goes, kafkajs restarts as a new member and the group waits for the old one to expire: a single
// broker that was killed took 42 s to serve its group again with 30 s here. This is the least that brokers allow by default
// (group.min.session.timeout.ms): six heartbeats may be missed. Handlers run beside the fetch loop that sends
// the heartbeats, so a long handler needs no long session.
const SESSION_TIMEOUT_MS = 6_000
// Small fetches, so that a rebalance is noticed while a backlog is read.
const MAX_BYTES_PER_PARTITION = 256 * 1024
const CONSUMER_RETRIES = 8
const POSITION_RETRY_MS = 200
const BEGIN_AGAIN_MS = 200
// Leaving is a courtesy to the group: without it the session timeout hands the partitions over.
const LEAVE_WITHIN_MS = 5_000

/** What one subscription reads, and through what. */
export interface ConsumerOptions {
  readonly connection: KafkaConnection
  readonly admin: KafkaAdmin
  /** Full topic name, and the logical one that batches carry. */
  readonly topic: string
  readonly logicalTopic: string
  /** Full group name; null reads everything alone from the end. */
  readonly group: string | null
  readonly partitions: number
  readonly timings: ConsumerTimings
  /** Instead of kafkajs' own. */
  readonly open?: (() => Consumer) | undefined
}

/** Starts one member. Its positions are its own: every assignment reads them, seeks, and only then fetches. */
export async function startConsumer(options: ConsumerOptions, onBatch: BatchHandler): Promise<Subscription> {
  const run = new HandlerRun(onBatch)
  const member = new KafkaMember(options, run)
  const subscription = subscriptionOf(run, () => member.leave())
  try {
    await member.start()
  } catch (error) {
    await subscription.stop()
    throw error
  }
  return subscription
}

class KafkaMember {
  readonly #options: ConsumerOptions
  readonly #run: HandlerRun
  #consumer: Consumer
  readonly #watchdog: ProgressWatchdog
  readonly #dirty = new Map<number, bigint>()
  /** Where a reader without group goes on after it had to join again. */
  readonly #readerPositions = new Map<number, bigint>()
  #feeds = new Map<number, PartitionFeed>()
  #idle = new Map<number, Promise<void>>()
  #assignment = 0
  #isPositioned = false
  #commitTimer: NodeJS.Timeout | undefined
  #watchTimer: NodeJS.Timeout | undefined
  #committing: Promise<void> = Promise.resolve()

  constructor(options: ConsumerOptions, run: HandlerRun) {
    this.#options = options
    this.#run = run
    this.#watchdog = new ProgressWatchdog(options.timings.stallTimeoutMs)
    this.#consumer = this.#newConsumer()
  }

  #newConsumer(): Consumer {
    const { connection, group, open } = this.#options
    if (open) return open()
    return createClient(connection, CONSUMER_RETRIES).consumer({
      groupId: group ?? `${connection.namespace}.reader.${randomUUID()}`,
      sessionTimeout: SESSION_TIMEOUT_MS,
      rebalanceTimeout: 60_000,
      heartbeatInterval: 1_000,
      maxWaitTimeInMs: MAX_WAIT_MS,
      minBytes: 1,
      maxBytesPerPartition: MAX_BYTES_PER_PARTITION,
      allowAutoTopicCreation: false,
    })
  }

  async start(): Promise<void> {
    const { admin, topic, group } = this.#options
    if (group === null) {
      for (const [partition, { high }] of await admin.bounds(topic)) this.#readerPositions.set(partition, high)
    }
    await this.#begin()
    this.#watchTimer = setInterval(() => void this.#watch(), this.#options.timings.stallTimeoutMs / 4)
    this.#watchTimer.unref()
  }

  async #begin(): Promise<void> {
    const { topic, partitions } = this.#options
    const { GROUP_JOIN, REBALANCING, CRASH } = this.#consumer.events
    this.#consumer.on(GROUP_JOIN, ({ payload }) => this.#join(payload.memberAssignment[topic] ?? []))
    this.#consumer.on(REBALANCING, () => void this.#commit())
    this.#consumer.on(CRASH, ({ payload }) => this.#crash(payload.error, payload.restart))
    await this.#consumer.connect()
    // A position out of range makes kafkajs jump to its default: to the start, where the jump is seen, never to the end.
    await this.#consumer.subscribe({ topics: [topic], fromBeginning: true })
    const eachBatch = (payload: EachBatchPayload) => Promise.resolve(this.#receive(payload))
    await this.#consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: partitions,
      eachBatch,
    })
  }

  /** The watchdog bounds how long this goes on: until then brokers that are away are no reason to end. */
  async #beginAgain(): Promise<void> {
    for (let isAway = true; isAway && !this.#run.isEnding;) {
      await new Promise((resolve) => setTimeout(resolve, BEGIN_AGAIN_MS))
      this.#consumer = this.#newConsumer()
      isAway = await this.#begin().then(
        () => false,
        () => true,
      )
      if (isAway || this.#run.isEnding) await this.#consumer.disconnect().catch(() => undefined)
    }
  }

  async leave(): Promise<void> {
    clearInterval(this.#watchTimer)
    clearTimeout(this.#commitTimer)
    const left = this.#commit().then(() => this.#consumer.disconnect())
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, LEAVE_WITHIN_MS)))
    await Promise.race([left.catch(() => undefined), late])
    clearTimeout(timer)
    for (const feed of this.#feeds.values()) feed.close()
  }

  // Called by kafkajs before the first fetch of the assignment: paused partitions are not fetched, so no record can
  // arrive, and no reset can happen, before the position is known.
  #join(partitions: readonly number[]): void {
    this.#assignment += 1
    for (const [partition, feed] of this.#feeds) {
      feed.close()
      this.#idle.set(partition, feed.idle)
      if (this.#options.group === null) this.#readerPositions.set(partition, feed.next)
    }
    this.#feeds = new Map()
    this.#dirty.clear()
    this.#isPositioned = false
    this.#pause(partitions)
    void this.#position(this.#assignment, partitions)
  }

  async #position(assignment: number, partitions: readonly number[]): Promise<void> {
    const isOver = () => assignment !== this.#assignment || this.#run.isEnding
    while (!isOver()) {
      try {
        const positions = await this.#positions()
        if (isOver()) return
        for (const partition of partitions) this.#open(partition, positions.get(partition) ?? 0n)
        this.#isPositioned = true
        this.#consumer.resume([{ topic: this.#options.topic, partitions: [...partitions] }])
        return
      } catch {
        // The brokers are away or a rebalance came between; while the assignment stands, its positions are needed.
        await new Promise((resolve) => setTimeout(resolve, POSITION_RETRY_MS))
      }
    }
  }

  async #positions(): Promise<Map<number, bigint>> {
    const { admin, group, topic } = this.#options
    if (group === null) return this.#readerPositions
    const committed = await admin.committed(group, topic)
    if (committed.size === this.#options.partitions) return committed
    const bounds = await admin.bounds(topic)
    return new Map([...bounds].map(([partition, { low }]) => [partition, committed.get(partition) ?? low]))
  }

  #open(partition: number, position: bigint): void {
    const { topic, logicalTopic } = this.#options
    const seek = (offset: bigint): void => this.#consumer.seek({ topic, partition, offset: String(offset) })
    const feed = new PartitionFeed({
      topic: logicalTopic,
      partition,
      position,
      run: this.#run,
      after: this.#idle.get(partition) ?? Promise.resolve(),
      control: {
        pause: () => this.#pause([partition]),
        resume: () => this.#consumer.resume([{ topic, partitions: [partition] }]),
        seek,
        committed: (offset) => this.#markDirty(partition, offset),
      },
    })
    this.#feeds.set(partition, feed)
    seek(position)
  }

  // Never waits for a handler: kafkajs fetches nothing for any partition of a broker until all its batches are done.
  #receive(payload: EachBatchPayload): void {
    const { batch } = payload
    const feed = this.#feeds.get(batch.partition)
    if (feed === undefined || this.#run.isEnding || !payload.isRunning() || payload.isStale()) return
    const lastOffset = batch.lastOffset()
    payload.resolveOffset(lastOffset)
    feed.offer(batch.messages.map(receivedRecord), BigInt(lastOffset) + 1n, BigInt(batch.highWatermark))
  }

  #pause(partitions: readonly number[]): void {
    this.#consumer.pause([{ topic: this.#options.topic, partitions: [...partitions] }])
  }

  #markDirty(partition: number, offset: bigint): void {
    if (this.#options.group === null) return
    this.#dirty.set(partition, offset)
    if (this.#commitTimer !== undefined) return
    this.#commitTimer = setTimeout(() => void this.#commit(), this.#options.timings.commitEveryMs)
  }

  /** Sends the newest positions after the request in flight; a failure keeps them for the next one. Never rejects. */
  #commit(): Promise<void> {
    clearTimeout(this.#commitTimer)
    this.#commitTimer = undefined
    this.#committing = this.#committing.then(async () => {
      if (this.#dirty.size === 0) return
      const assignment = this.#assignment
      const sent = [...this.#dirty]
      this.#dirty.clear()
      const { topic } = this.#options
      try {
        await this.#consumer.commitOffsets(
          sent.map(([partition, offset]) => ({ topic, partition, offset: String(offset) })),
        )
      } catch {
        // After a rebalance the new owner begins at the stored position: repeating work is harmless, a wrong one is not.
        if (assignment !== this.#assignment || this.#run.isEnding) return
        for (const [partition, offset] of sent) if (!this.#dirty.has(partition)) this.#markDirty(partition, offset)
      }
    })
    return this.#committing
  }

  #crash(error: Error, restarts: boolean): void {
    this.#isPositioned = false
    if (restarts) return
    // kafkajs restarts by itself, except where it was looking for the group's coordinator: a broker that is restarted in order
    // first says that it coordinates no more, and then is away.
    if (isConnectionFault(error)) return void this.#beginAgain()
    const { topic, group } = this.#options
    this.#run.fail(logError('LOCKSTEP_LOG_CONSUMER', { topic, group, reason: reasonOf(error) }, error))
  }

  async #watch(): Promise<void> {
    const { admin, topic, group, timings } = this.#options
    try {
      const bounds = await admin.bounds(topic)
      const nowMs = performance.now()
      // Partition -1 stands for the assignment itself: a member that never gets one reads nothing either.
      let isStalled = this.#watchdog.isStalled(-1, { position: 0n, waits: !this.#isPositioned, nowMs })
      for (const [partition, feed] of this.#feeds) {
        const waits = feed.isStarved && (bounds.get(partition)?.high ?? 0n) > feed.fetched
        if (this.#watchdog.isStalled(partition, { position: feed.fetched, waits, nowMs })) isStalled = true
      }
      if (!isStalled || this.#run.isEnding) return
      this.#run.fail(logError('LOCKSTEP_LOG_STALLED', { topic, group, seconds: timings.stallTimeoutMs / 1000 }))
    } catch {
      this.#watchdog.reset()
    }
  }
}

function receivedRecord({ offset, key, value, headers }: KafkaMessage): ReceivedRecord {
  const record = { offset: BigInt(offset), key: key?.toString() ?? null, value: value ?? Buffer.alloc(0) }
  // Most records have none, and no need of an object for them.
  for (const _name in headers) return { ...record, headers: textsOf(headers) }
  return record
}

/** Of a name that comes twice, the last one counts. */
function textsOf(headers: IHeaders): RecordHeaders {
  const texts = Object.entries(headers).map(([name, value]) => [name, String([value].flat().at(-1) ?? '')])
  return Object.fromEntries(texts) as RecordHeaders
}
