import type { CacheContext } from './context.ts'
import type { LocalRecord } from './l1/record.ts'
import type { Outcome } from './outcome.ts'

/** After a renewal that brought nothing, because it failed or another process is at it, the next one waits this long, ms. */
const RETRY_MS = 250

/** Loads values anew behind the backs of their readers, each key once at a time. */
export class Renewals {
  readonly #context: CacheContext
  readonly #byKey = new Map<string, Promise<Outcome | null>>()

  constructor(context: CacheContext) {
    this.#context = context
  }

  /** Begins a renewal of the record, or joins the one under way; null when it brought nothing. Never rejects. */
  renew(record: LocalRecord, load: () => Promise<Outcome | null>): Promise<Outcome | null> {
    const running = this.#byKey.get(record.key)
    if (running) return running
    const renewal = this.#run(record, load)
    this.#byKey.set(record.key, renewal)
    return renewal
  }

  async #run(record: LocalRecord, load: () => Promise<Outcome | null>): Promise<Outcome | null> {
    const { clock, counters, events, keyEvents } = this.#context
    const { refreshAt } = record
    counters.refreshes += 1
    keyEvents.note(record.key, 'refresh', record.stamp)
    try {
      const outcome = await load()
      if (outcome) return outcome
    } catch (error) {
      events.failed?.(error, 'refreshing a value')
    } finally {
      this.#byKey.delete(record.key)
    }
    // Unless another value has come meanwhile.
    if (record.refreshAt === refreshAt) record.refreshAt = Math.floor(clock.now() + RETRY_MS)
    return null
  }
}
