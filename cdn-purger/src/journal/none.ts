import type { JournalWriter } from './port.ts'

const durable = Promise.resolve()

/** Keeps nothing: for tests, and where no journal is configured. */
export const noJournal: JournalWriter = {
  append: () => durable,
  pending: 0,
  close: () => durable,
}
