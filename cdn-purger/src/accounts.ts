import type { TimeSource } from '@lockstep/runtime'
import type { JournalEntry, JournalWriter } from './journal/port.ts'
import type { Purge } from './purge.ts'

/** The purger's side of the journal: remembers what is not durable yet, and gathers what would be many small entries. */
export class Accounts implements JournalWriter {
  readonly #journal: JournalWriter
  readonly #time: TimeSource
  #last: Promise<void> = Promise.resolve()
  #superseded: Purge[] = []

  constructor(journal: JournalWriter, time: TimeSource) {
    this.#journal = journal
    this.#time = time
  }

  get pending(): number {
    return this.#journal.pending
  }

  append(entry: JournalEntry): Promise<void> {
    this.#last = this.#journal.append(entry)
    return this.#last
  }

  /** Notes a purge that a newer one of its tag replaced before it was sent. */
  superseded(purge: Purge): void {
    if (this.#superseded.length === 0) queueMicrotask(() => this.#flush())
    this.#superseded.push(purge)
  }

  /** Resolves when everything appended so far is durable: the journal keeps the order of calls. */
  async durable(): Promise<void> {
    this.#flush()
    await this.#last
  }

  async close(): Promise<void> {
    this.#flush()
    await this.#journal.close()
  }

  #flush(): void {
    if (this.#superseded.length === 0) return
    const items = this.#superseded
    this.#superseded = []
    void this.append({ state: 'superseded', atMs: this.#time.wallMs(), phase: 'live', lane: 'live', items })
  }
}
