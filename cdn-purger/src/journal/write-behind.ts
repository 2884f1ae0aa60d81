import { backoff } from '@lockstep/runtime'
import type { Logger, TimeSource } from '@lockstep/runtime'
import type { JournalEntry, JournalWriter } from './port.ts'
import type { JournalStore } from './store.ts'

/** What a write-behind needs. */
export interface WriteBehindDeps {
  readonly store: Pick<JournalStore, 'write' | 'prune' | 'close'>
  readonly time: TimeSource
  readonly random: () => number
  readonly logger: Logger
  /** Called after each write, with how many purges it carried and how long it took. */
  readonly onWritten?: ((items: number, tookMs: number) => void) | undefined
  readonly options?: Partial<WriteBehindOptions> | undefined
}

/** Pace of a write-behind. */
export interface WriteBehindOptions {
  /** Pause before a write, so that it carries what comes together. */
  readonly lingerMs: number
  /** Purges per write at most (one entry may hold more): bounds how long an embedded store holds the event loop. */
  readonly maxItems: number
  /** How long `close` tries to write what is left. */
  readonly closeMs: number
  /** Entries older than this are forgotten; checked every hour. */
  readonly retentionMs: number
}

const DEFAULTS: WriteBehindOptions = {
  // An eighth of the shortest pause between a purge and the commit of its batch, which is a rebound.
  lingerMs: 5,
  // 5 ms of SQLite where every entry holds one purge (9 µs each, measured), half a millisecond in full ones.
  maxItems: 500,
  closeMs: 3_000,
  retentionMs: 30 * 86_400_000,
}

const RETRY = { initialMs: 50, maxMs: 5_000 }
// Soon after the start as well: a process that is restarted every half hour must prune too.
const FIRST_PRUNE_MS = 60_000
const PRUNE_MS = 3_600_000

interface Waiting {
  readonly entry: JournalEntry
  readonly written: PromiseWithResolvers<void>
}

/** Writes a journal behind the lanes: appends gather while a write is under way, and travel together in the next. */
export class WriteBehindJournal implements JournalWriter {
  readonly #deps: WriteBehindDeps
  readonly #options: WriteBehindOptions
  readonly #stopping = new AbortController()
  #waiting: Waiting[] = []
  #pending = 0
  #writing: Promise<void> | null = null

  constructor(deps: WriteBehindDeps) {
    this.#deps = deps
    this.#options = { ...DEFAULTS, ...deps.options }
    void this.#pruneForEver()
  }

  get pending(): number {
    return this.#pending
  }

  append(entry: JournalEntry): Promise<void> {
    const last = this.#waiting.at(-1)
    // Entries of one moment share a promise: they travel together or next to each other.
    const written = last?.written ?? Promise.withResolvers<void>()
    this.#waiting.push({ entry, written })
    this.#pending += entry.items.length
    this.#writing ??= this.#drain().finally(() => (this.#writing = null))
    return written.promise
  }

  async close(): Promise<void> {
    const { time } = this.#deps
    const given = new AbortController()
    const tooLong = time.sleep(this.#options.closeMs, given.signal).catch(() => undefined)
    await Promise.race([this.#writing, tooLong])
    given.abort()
    this.#stopping.abort()
    await this.#writing
    await this.#deps.store.close()
  }

  async #drain(): Promise<void> {
    const { time } = this.#deps
    await time.sleep(this.#options.lingerMs, this.#stopping.signal).catch(() => undefined)
    while (this.#waiting.length > 0 && !this.#stopping.signal.aborted) {
      const chunk = this.#take()
      if (!(await this.#write(chunk))) return
      const left = this.#waiting[0]?.written
      for (const { written } of chunk) if (written !== left) written.resolve()
      // Between two writes of an embedded store the lanes have their turn.
      await new Promise<void>((resolve) => void setImmediate(resolve))
    }
  }

  #take(): Waiting[] {
    let items = 0
    let count = 0
    for (const { entry } of this.#waiting) {
      if (count > 0 && items + entry.items.length > this.#options.maxItems) break
      items += entry.items.length
      count += 1
    }
    return this.#waiting.splice(0, count)
  }

  /** Tries until the store has the chunk; false when the journal closed first. */
  async #write(chunk: readonly Waiting[]): Promise<boolean> {
    const { store, time, random, logger } = this.#deps
    const delays = backoff({ ...RETRY, random })
    const entries = chunk.map(({ entry }) => entry)
    const items = entries.reduce((sum, entry) => sum + entry.items.length, 0)
    for (let failures = 0; ; failures++) {
      const startedMs = time.nowMs()
      try {
        await store.write(entries)
        this.#pending -= items
        this.#deps.onWritten?.(items, time.nowMs() - startedMs)
        if (failures > 0) logger.info({ failures }, 'journal written again')
        return true
      } catch (error) {
        if (failures === 0) logger.warn({ error, items }, 'journal not written, trying again')
      }
      await time.sleep(delays.nextDelay(), this.#stopping.signal).catch(() => undefined)
      if (this.#stopping.signal.aborted) return false
    }
  }

  async #pruneForEver(): Promise<void> {
    const { store, time, logger } = this.#deps
    const { signal } = this.#stopping
    for (let pauseMs = FIRST_PRUNE_MS; !signal.aborted; pauseMs = PRUNE_MS) {
      await time.sleep(pauseMs, signal).catch(() => undefined)
      if (signal.aborted) return
      await store
        .prune(time.wallMs() - this.#options.retentionMs)
        .catch((error: unknown) => logger.warn({ error }, 'old journal entries not removed'))
    }
  }
}
