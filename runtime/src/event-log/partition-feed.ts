import type { LogBatch, ReceivedRecord } from '../event-log.ts'
import { CommitTracker } from './commit-tracker.ts'
import type { HandlerRun } from './subscription.ts'

// As in the memory log: one handler call must not block the event loop for long.
const MAX_BATCH = 500
// A paused partition is fetched again up to one long poll (100 ms) late, so this much is kept ready meanwhile.
const PAUSE_ABOVE = 4_000
const RESUME_BELOW = 2_000

/** What the feed asks of the consumer it belongs to. */
export interface FeedControl {
  pause(): void
  resume(): void
  /** Makes the next fetch begin at `offset`. */
  seek(offset: bigint): void
  /** Tells that the contiguous prefix of commits grew or shrank to `offset`. */
  committed(offset: bigint): void
}

/** Describes the partition, where it begins, and the handler of an earlier assignment that may still run. */
export interface FeedOptions {
  readonly topic: string
  readonly partition: number
  readonly position: bigint
  readonly run: HandlerRun
  readonly control: FeedControl
  readonly after: Promise<void>
}

interface Chunk {
  readonly records: readonly ReceivedRecord[]
  readonly nextOffset: bigint
  at: number
}

/** Takes fetched records of one partition and hands them to the handler, one batch at a time. */
export class PartitionFeed {
  readonly #options: FeedOptions
  readonly #tracker: CommitTracker
  #chunks: Chunk[] = []
  #queued = 0
  #next: bigint
  #fetched: bigint
  #end: bigint
  #rewindTo: bigint | undefined
  #isBusy = true
  #isPaused = false
  #isClosed = false
  /** Resolves when the handler that runs now, if any, has returned. */
  idle: Promise<void>

  constructor(options: FeedOptions) {
    this.#options = options
    this.#tracker = new CommitTracker(options.position)
    this.#next = options.position
    this.#fetched = options.position
    this.#end = options.position
    this.idle = options.after.then(() => {
      this.#isBusy = false
      this.#seek()
      this.#deliver()
    })
  }

  /** Offset after the last record that was handed to the handler. */
  get next(): bigint {
    return this.#next
  }

  /** Offset after the last record that arrived here. */
  get fetched(): bigint {
    return this.#fetched
  }

  /** True while nothing waits here, so that only the broker can bring progress. */
  get isStarved(): boolean {
    return this.#queued === 0 && !this.#isBusy
  }

  /** Takes fetched records; `nextOffset` is the offset after the last one, kept or not, `endOffset` that of the partition. */
  offer(records: readonly ReceivedRecord[], nextOffset: bigint, endOffset: bigint = nextOffset): void {
    if (this.#isClosed) return
    this.#end = endOffset < nextOffset ? nextOffset : endOffset
    this.#chunks.push({ records, nextOffset, at: 0 })
    this.#queued += records.length
    this.#fetched = nextOffset
    if (!this.#isPaused && this.#queued > PAUSE_ABOVE) {
      this.#isPaused = true
      this.#options.control.pause()
    }
    this.#deliver()
  }

  /** Ends delivery and makes later commits no-ops: the assignment is over. */
  close(): void {
    this.#isClosed = true
    this.#tracker.close()
    this.#chunks = []
    this.#queued = 0
  }

  #deliver(): void {
    const { run } = this.#options
    if (this.#isBusy || this.#isClosed || run.isEnding) return
    const batch = this.#take()
    if (batch === undefined) return
    this.#isBusy = true
    this.idle = run.handle(batch).then(() => this.#finish())
  }

  #finish(): void {
    this.#isBusy = false
    this.#seek()
    if (this.#isPaused && this.#queued < RESUME_BELOW && !this.#isClosed) {
      this.#isPaused = false
      this.#options.control.resume()
    }
    // A backlog must not starve sockets and timers: each further batch waits for one turn of the event loop.
    if (this.#queued > 0) setImmediate(() => this.#deliver())
  }

  /** Joins what several fetches brought: a handler that is slower than the fetches gets fewer, larger batches. */
  #take(): LogBatch | undefined {
    const records: ReceivedRecord[] = []
    let nextOffset: bigint | undefined
    for (let chunk = this.#chunks[0]; chunk !== undefined && records.length < MAX_BATCH; chunk = this.#chunks[0]) {
      // A jump stays visible: it is seen only where a batch begins.
      if (nextOffset !== undefined && chunk.records[chunk.at]?.offset !== nextOffset) break
      const taken = chunk.records.slice(chunk.at, chunk.at + MAX_BATCH - records.length)
      records.push(...taken)
      chunk.at += taken.length
      const isWhole = chunk.at >= chunk.records.length
      const lastOffset = taken.at(-1)?.offset
      nextOffset = isWhole || lastOffset === undefined ? chunk.nextOffset : lastOffset + 1n
      if (isWhole) this.#chunks.shift()
    }
    if (nextOffset === undefined) return undefined
    this.#queued -= records.length
    return this.#batch(records, nextOffset)
  }

  #batch(records: readonly ReceivedRecord[], nextOffset: bigint): LogBatch {
    const { topic, partition, control } = this.#options
    const tracker = this.#tracker
    const firstOffset = this.#next
    const delivery = tracker.deliver(firstOffset, nextOffset)
    this.#next = nextOffset
    const commit = (): void => {
      if (tracker.commit(delivery)) control.committed(tracker.position)
    }
    const rewind = (offset: bigint): void => this.#rewind(offset)
    return { topic, partition, firstOffset, nextOffset, endOffset: this.#end, records, commit, rewind }
  }

  #rewind(offset: bigint): void {
    if (this.#isClosed) return
    const before = this.#tracker.position
    this.#tracker.rewind(offset)
    if (this.#tracker.position !== before) this.#options.control.committed(this.#tracker.position)
    this.#rewindTo = this.#rewindTo === undefined || offset < this.#rewindTo ? offset : this.#rewindTo
    if (!this.#isBusy) this.#seek()
  }

  #seek(): void {
    const offset = this.#rewindTo
    if (offset === undefined || this.#isClosed) return
    this.#rewindTo = undefined
    this.#chunks = []
    this.#queued = 0
    this.#next = offset
    this.#fetched = offset
    this.#options.control.seek(offset)
  }
}
