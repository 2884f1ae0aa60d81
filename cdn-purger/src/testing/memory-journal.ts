import type { JournalEntry, JournalState, JournalWriter } from '../journal/port.ts'

/** A journal in memory whose store can be held back. */
export class MemoryJournal implements JournalWriter {
  readonly entries: JournalEntry[] = []
  #gate: Promise<void> = Promise.resolve()

  get pending(): number {
    return 0
  }

  append(entry: JournalEntry): Promise<void> {
    this.entries.push(entry)
    return this.#gate
  }

  /** Nothing appended from now on is durable before `release`. */
  hold(): { release(): void } {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#gate = promise
    return { release: resolve }
  }

  /** `tag@clock state` of every item, in order. */
  lines(...states: JournalState[]): string[] {
    const wanted = this.entries.filter(({ state }) => states.length === 0 || states.includes(state))
    return wanted.flatMap(({ state, phase, lane, items }) =>
      items.map(({ command }) => [command.id, lane, phase, state].join(' ')),
    )
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
