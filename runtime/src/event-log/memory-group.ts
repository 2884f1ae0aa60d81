import type { LogBatch } from '../event-log.ts'
import { CommitTracker } from './commit-tracker.ts'
import type { PartitionLog } from './partition-log.ts'
import type { HandlerRun } from './subscription.ts'

// Bounds how long one handler call can block the event loop: 500 records of an evict pass are about 1 ms.
const MAX_BATCH = 500

interface Cursor {
  readonly partition: number
  readonly log: PartitionLog
  tracker: CommitTracker
  /** Offset of the next delivery. */
  next: bigint
  owner: HandlerRun | undefined
  wanted: HandlerRun | undefined
  isBusy: boolean
  isScheduled: boolean
  rewindTo: bigint | undefined
}

/** Tells the topic what changed: `onProgress` after a commit, so that it can drop records and let producers go on. */
export interface GroupOptions {
  readonly topic: string
  readonly logs: readonly PartitionLog[]
  /** Where a partition without a committed position begins. */
  readonly from: 'start' | 'end'
  /** Counts a delivery as committed when its handler returned, for readers that never commit. */
  readonly commitsItself: boolean
  onProgress(): void
}

/** Shares the partitions of one topic among the members of one group, inside the process. */
export class MemoryGroup {
  readonly #options: GroupOptions
  readonly #cursors: readonly Cursor[]
  #members: HandlerRun[] = []

  constructor(options: GroupOptions) {
    this.#options = options
    this.#cursors = options.logs.map((log, partition) => {
      const start = options.from === 'start' ? log.base : log.end
      const fixed = {
        partition,
        log,
        tracker: new CommitTracker(start),
        next: start,
        isBusy: false,
        isScheduled: false,
      }
      return { ...fixed, owner: undefined, wanted: undefined, rewindTo: undefined }
    })
  }

  /** Records that were appended and not committed, over all partitions. */
  get lag(): number {
    let lag = 0
    for (const { log, tracker } of this.#cursors) lag += Math.max(0, Number(log.end - tracker.position))
    return lag
  }

  committed(partition: number): bigint {
    return this.#cursors[partition]?.tracker.position ?? 0n
  }

  join(member: HandlerRun): void {
    this.#members = [...this.#members, member]
    this.#share()
  }

  leave(member: HandlerRun): void {
    this.#members = this.#members.filter((other) => other !== member)
    this.#share()
  }

  /** Delivers what was appended to a partition; a microtask, so that records appended together arrive together. */
  wake(partition: number): void {
    const cursor = this.#cursors[partition]
    if (cursor === undefined || cursor.isBusy || cursor.isScheduled || cursor.owner === undefined) return
    cursor.isScheduled = true
    queueMicrotask(() => this.#run(cursor))
  }

  #share(): void {
    for (const cursor of this.#cursors) {
      cursor.wanted = this.#members[cursor.partition % Math.max(1, this.#members.length)]
      this.#handOver(cursor)
    }
  }

  // A partition moves only between handlers; the new owner begins at the committed position, so nothing is lost.
  #handOver(cursor: Cursor): void {
    if (cursor.isBusy || cursor.owner === cursor.wanted) return
    cursor.tracker.close()
    cursor.tracker = new CommitTracker(cursor.tracker.position)
    cursor.next = cursor.tracker.position
    cursor.rewindTo = undefined
    cursor.owner = cursor.wanted
    this.wake(cursor.partition)
  }

  #run(cursor: Cursor): void {
    cursor.isScheduled = false
    const { owner } = cursor
    if (cursor.isBusy || owner === undefined || owner.isEnding) return
    const batch = this.#take(cursor)
    if (batch === undefined) return
    cursor.isBusy = true
    void owner.handle(batch).then((succeeded) => this.#finish(cursor, batch, succeeded))
  }

  #finish(cursor: Cursor, batch: LogBatch, succeeded: boolean): void {
    cursor.isBusy = false
    if (succeeded && this.#options.commitsItself) batch.commit()
    this.#seek(cursor)
    this.#handOver(cursor)
    if (cursor.isScheduled || cursor.log.end === cursor.next) return
    // A backlog must not starve sockets and timers: each further batch waits for one turn of the event loop.
    cursor.isScheduled = true
    setImmediate(() => this.#run(cursor))
  }

  #take(cursor: Cursor): LogBatch | undefined {
    const { log, partition, next, tracker } = cursor
    // Before the kept records they were dropped, past the end the log began anew: both continue at its start.
    const from = next < log.base || next > log.end ? log.base : next
    const records = log.read(from, MAX_BATCH)
    if (records.length === 0) return undefined
    const nextOffset = from + BigInt(records.length)
    const delivery = tracker.deliver(next, nextOffset)
    cursor.next = nextOffset
    const rewind = (offset: bigint): void => {
      if (tracker !== cursor.tracker) return
      tracker.rewind(offset)
      cursor.rewindTo = cursor.rewindTo === undefined || offset < cursor.rewindTo ? offset : cursor.rewindTo
      if (cursor.isBusy) return
      this.#seek(cursor)
      this.wake(partition)
    }
    const commit = (): void => {
      if (tracker.commit(delivery)) this.#options.onProgress()
    }
    const { topic } = this.#options
    return { topic, partition, firstOffset: next, nextOffset, endOffset: log.end, records, commit, rewind }
  }

  #seek(cursor: Cursor): void {
    if (cursor.rewindTo === undefined) return
    cursor.next = cursor.rewindTo
    cursor.rewindTo = undefined
  }
}
