import type { TimeSource } from '@lockstep/runtime'
import { maxLsn } from '@lockstep/schemas'
import type { Lsn } from '@lockstep/schemas'
import type { EpochStore, ReplicationStream } from './ports.ts'

export interface ConfirmationOptions {
  readonly stream: ReplicationStream
  readonly epochs: Pick<EpochStore, 'reserve'>
  readonly time: TimeSource
  /** The newest durable note: nothing above it is acknowledged. */
  readonly confirmable: Lsn
  /** Transactions received so far. */
  readonly received: () => number
  readonly onError: (error: unknown) => void
}

// One small update per second on a busy database; redelivery after a crash grows by as much, which is harmless.
const RESERVE_EVERY_MS = 1_000
// WAL without changes of ours, such as the note itself, is worth a note only in bulk: an idle database stays idle.
const WORTH_A_NOTE_BYTES = 65_536n
const STOPPED = new Error('the stream has stopped')

/**
 * Acknowledges to Postgres only what lies below a position that was noted durably before: a slot found above the note
 * was made anew, or moved, by somebody else.
 */
export class Confirmation implements ReplicationStream {
  readonly ended: Promise<Error>
  readonly #options: ConfirmationOptions
  #confirmable: Lsn
  #wanted: Lsn
  #noted = 0
  #notedMs = Number.NEGATIVE_INFINITY
  #noting: Promise<void> | undefined
  #isWaiting = false
  readonly #stopped = new AbortController()

  constructor(options: ConfirmationOptions) {
    this.#options = options
    this.ended = options.stream.ended
    this.#confirmable = options.confirmable
    this.#wanted = 0n as Lsn
  }

  confirm(lsn: Lsn, wantsReply: boolean): void {
    this.#wanted = maxLsn(this.#wanted, lsn)
    this.#options.stream.confirm(this.#allowed, wantsReply)
    this.#noteInTime()
  }

  setPaused(paused: boolean): void {
    this.#options.stream.setPaused(paused)
  }

  stop(): Promise<void> {
    this.#stopped.abort(STOPPED)
    return this.#options.stream.stop()
  }

  /** Acknowledges everything that is wanted, with a last note if it takes one. */
  async settle(): Promise<void> {
    await this.#noting
    if (this.#wanted > this.#confirmable) await this.#note()
    this.#options.stream.confirm(this.#allowed, false)
  }

  get #allowed(): Lsn {
    return this.#wanted < this.#confirmable ? this.#wanted : this.#confirmable
  }

  get #isWorthANote(): boolean {
    if (this.#wanted <= this.#confirmable) return false
    return this.#options.received() !== this.#noted || this.#wanted - this.#confirmable >= WORTH_A_NOTE_BYTES
  }

  /** Notes at once, or when the last note is old enough: nobody may ask a second time. */
  #noteInTime(): void {
    const { time, onError } = this.#options
    if (this.#noting !== undefined || this.#isWaiting || !this.#isWorthANote) return
    const restMs = this.#notedMs + RESERVE_EVERY_MS - time.nowMs()
    if (restMs <= 0) return void this.#note().catch(onError)
    this.#isWaiting = true
    const again = (): void => {
      this.#isWaiting = false
      this.#noteInTime()
    }
    time.sleep(restMs, this.#stopped.signal).then(again, () => undefined)
  }

  #note(): Promise<void> {
    const { epochs, time, received, stream } = this.#options
    this.#noted = received()
    this.#notedMs = time.nowMs()
    this.#noting = epochs
      .reserve()
      .then((lsn) => {
        this.#confirmable = maxLsn(this.#confirmable, lsn)
        stream.confirm(this.#allowed, false)
      })
      .finally(() => {
        this.#noting = undefined
        this.#noteInTime()
      })
    return this.#noting
  }
}
