import type { BatchHandler, ConsumeOptions, EventLog, LogRecord, Subscription } from '../event-log.ts'
import { logError } from './errors.ts'
import { MemoryGroup } from './memory-group.ts'
import { PartitionLog } from './partition-log.ts'
import { Partitioner } from './partitioner.ts'
import { HandlerRun, subscriptionOf } from './subscription.ts'

// About 30 MB of events: minutes of a busy source, far from the heap limit of a small container.
const DEFAULT_MAX_BACKLOG = 100_000

/** Sets up the in-process log. */
export interface MemoryLogOptions {
  /** Partitions per topic; 1 where not named. */
  readonly partitions?: Readonly<Record<string, number>> | undefined
  /** Records that the slowest group of a topic may be behind before `produce` waits; 100,000 by default. */
  readonly maxBacklog?: number | undefined
}

interface Waiting {
  readonly records: readonly LogRecord[]
  readonly resolve: () => void
  readonly reject: (reason: unknown) => void
}

/** One topic: its partitions, the groups that read it and the producers that wait for them. */
class MemoryTopic {
  readonly name: string
  readonly #logs: readonly PartitionLog[]
  readonly #partitioner: Partitioner
  readonly #maxBacklog: number
  readonly #groups = new Map<string, MemoryGroup>()
  readonly #readers = new Set<MemoryGroup>()
  #waiting: Waiting[] = []

  constructor(name: string, partitions: number, maxBacklog: number) {
    this.name = name
    this.#logs = Array.from({ length: partitions }, () => new PartitionLog())
    this.#partitioner = new Partitioner(partitions)
    this.#maxBacklog = maxBacklog
  }

  get partitions(): number {
    return this.#logs.length
  }

  produce(records: readonly LogRecord[]): Promise<void> {
    const missing = records.find((record) => !this.#partitioner.accepts(record))
    if (missing !== undefined) {
      return Promise.reject(logError('LOCKSTEP_LOG_PARTITION', { topic: this.name, partition: missing.partition }))
    }
    if (this.#waiting.length === 0 && !this.#isFull()) {
      this.#append(records)
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => this.#waiting.push({ records, resolve, reject }))
  }

  subscribe(group: string | null, run: HandlerRun): () => void {
    const found = group === null ? undefined : this.#groups.get(group)
    const joined = found ?? this.#createGroup(group)
    joined.join(run)
    return () => {
      joined.leave(run)
      if (this.#readers.delete(joined)) this.#progress()
    }
  }

  close(reason: Error): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const { reject } of waiting) reject(reason)
  }

  #createGroup(name: string | null): MemoryGroup {
    const group = new MemoryGroup({
      topic: this.name,
      logs: this.#logs,
      from: name === null ? 'end' : 'start',
      commitsItself: name === null,
      onProgress: () => this.#progress(),
    })
    if (name === null) this.#readers.add(group)
    else this.#groups.set(name, group)
    return group
  }

  #isFull(): boolean {
    for (const group of this.#allGroups()) if (group.lag > this.#maxBacklog) return true
    return false
  }

  #append(records: readonly LogRecord[]): void {
    const touched = new Set<number>()
    for (const record of records) {
      const partition = this.#partitioner.choose(record)
      this.#logs[partition]?.append(record)
      touched.add(partition)
    }
    for (const group of this.#allGroups()) for (const partition of touched) group.wake(partition)
    if (this.#groups.size === 0) this.#drop()
  }

  #progress(): void {
    this.#drop()
    while (this.#waiting.length > 0 && !this.#isFull()) {
      const next = this.#waiting.shift()
      if (next === undefined) break
      this.#append(next.records)
      next.resolve()
    }
  }

  // Keeps what some group has not committed. Without a group the newest records stay for one that comes later; a
  // reader alone holds no records back for that one, only for itself.
  #drop(): void {
    const kept = BigInt(Math.ceil(this.#maxBacklog / this.#logs.length))
    for (const [partition, log] of this.#logs.entries()) {
      let oldest = this.#groups.size === 0 ? log.end - kept : log.end
      for (const group of this.#allGroups()) {
        const committed = group.committed(partition)
        if (committed < oldest) oldest = committed
      }
      log.dropBefore(oldest)
    }
  }

  *#allGroups(): Generator<MemoryGroup> {
    yield* this.#groups.values()
    yield* this.#readers
  }
}

/**
 * Creates a log that lives in this process: no durability, delivery within the turn of the event loop. A group keeps
 * its position while it has no member, and then still holds back the producers.
 */
export function createMemoryLog(options: MemoryLogOptions = {}): EventLog {
  const { partitions = {}, maxBacklog = DEFAULT_MAX_BACKLOG } = options
  const topics = new Map<string, MemoryTopic>()
  const subscriptions = new Set<Subscription>()
  let isClosed = false

  const topicOf = (name: string): MemoryTopic => {
    if (isClosed) throw logError('LOCKSTEP_LOG_CLOSED', { topic: name })
    const found = topics.get(name)
    if (found !== undefined) return found
    const created = new MemoryTopic(name, partitions[name] ?? 1, maxBacklog)
    topics.set(name, created)
    return created
  }

  const consume = (topic: string, group: string | null, onBatch: BatchHandler): Subscription => {
    const run = new HandlerRun(onBatch)
    const leave = topicOf(topic).subscribe(group, run)
    const subscription = subscriptionOf(run, () => Promise.resolve(leave()))
    subscriptions.add(subscription)
    subscription.closed.then(
      () => subscriptions.delete(subscription),
      () => subscriptions.delete(subscription),
    )
    return subscription
  }

  return {
    async produce(topic, records) {
      await topicOf(topic).produce(records)
    },
    // eslint-disable-next-line typescript/require-await -- a closed log rejects instead of throwing
    async consume({ topic, group }: ConsumeOptions, onBatch) {
      return consume(topic, group, onBatch)
    },
    // eslint-disable-next-line typescript/require-await
    async partitionCount(topic) {
      return topicOf(topic).partitions
    },
    async close() {
      isClosed = true
      for (const topic of topics.values()) topic.close(logError('LOCKSTEP_LOG_CLOSED', { topic: topic.name }))
      await Promise.all([...subscriptions].map((subscription) => subscription.stop()))
    },
  }
}
