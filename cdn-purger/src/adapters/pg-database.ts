import pg from 'pg'
import type { SqlDatabase, SqlRow } from '../journal/sql.ts'

/** How to reach the database. */
export interface PgDatabaseOptions {
  readonly url: string
  readonly onError: (error: Error) => void
}

// The journal writes over one connection at a time, the API reads over the others.
const CONNECTIONS = 4
const CONNECT_MS = 5_000
// A page of the journal, or one write: an answer that takes longer is one that will not come.
const STATEMENT_MS = 30_000

/** Opens a pool; the database need not answer yet. */
export function openPg({ url, onError }: PgDatabaseOptions): SqlDatabase {
  const pool = new pg.Pool({
    connectionString: url,
    max: CONNECTIONS,
    connectionTimeoutMillis: CONNECT_MS,
    statement_timeout: STATEMENT_MS,
    application_name: 'lockstep cdn-purger journal',
  })
  pool.on('error', onError)
  // The pool does not listen to those it has lent, whose statements tell of it, and an error without a listener would end the process.
  pool.on('connect', (client) => void client.on('error', () => undefined))
  return {
    kind: 'postgres',
    query: async (text, params = []) => (await pool.query<SqlRow>(text, [...params])).rows,
    async transact(statements) {
      const client = await pool.connect()
      let broken: Error | undefined
      try {
        await client.query('BEGIN')
        for (const [text, params = []] of statements) await client.query(text, [...params])
        await client.query('COMMIT')
      } catch (error) {
        await client.query('ROLLBACK').catch((failed: unknown) => (broken = failed as Error))
        throw error
      } finally {
        client.release(broken)
      }
    },
    close: async () => pool.end(),
  }
}
