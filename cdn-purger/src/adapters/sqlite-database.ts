import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { SQLInputValue, StatementSync } from 'node:sqlite'
import type { SqlDatabase, SqlRow, SqlValue } from '../journal/sql.ts'

// Another process may hold the file for the length of one write.
const BUSY_MS = 2_000

/**
 * Opens a database in a file, or in memory for `:memory:`. A write survives the death of the process; a power cut may take
 * the last moments (`synchronous=NORMAL`), because waiting for the disk would hold the event loop.
 */
export function openSqlite(path: string): SqlDatabase {
  if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true })
  const database = new DatabaseSync(path, { timeout: BUSY_MS })
  database.exec(
    'PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16000',
  )
  const prepared = new Map<string, StatementSync>()
  const run = (text: string, params: readonly SqlValue[] = []): SqlRow[] => {
    let statement = prepared.get(text)
    if (!statement) prepared.set(text, (statement = database.prepare(text)))
    const named = Object.fromEntries(params.map((value, index) => [`$${index + 1}`, value as SQLInputValue]))
    return statement.all(named)
  }
  return {
    kind: 'sqlite',
    // Synchronous inside: the promise only gives it the shape of the port.
    query: (text, params) => new Promise((resolve) => resolve(run(text, params))),
    transact: (statements) =>
      new Promise((resolve) => {
        database.exec('BEGIN IMMEDIATE')
        try {
          for (const [text, params] of statements) run(text, params)
          database.exec('COMMIT')
        } catch (error) {
          if (database.isTransaction) database.exec('ROLLBACK')
          throw error
        }
        resolve()
      }),
    close: () => new Promise((resolve) => resolve(database.close())),
  }
}
