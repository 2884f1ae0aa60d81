/** A value that both databases understand. */
export type SqlValue = string | number | bigint | null | Uint8Array
/** One row by column name. */
export type SqlRow = Readonly<Record<string, unknown>>
/** A statement with its parameters `$1`, `$2`, … in order. */
export type SqlStatement = readonly [text: string, params?: readonly SqlValue[]]

/** What the journal and the admin API need of a database. Statements are written for both kinds. */
export interface SqlDatabase {
  readonly kind: 'sqlite' | 'postgres'
  query(text: string, params?: readonly SqlValue[]): Promise<readonly SqlRow[]>
  /** Runs the statements in one transaction, all or nothing. */
  transact(statements: readonly SqlStatement[]): Promise<void>
  close(): Promise<void>
}

/** Takes the lock under which purgers make tables in Postgres: two that do it at once would fail each other. */
export const SCHEMA_LOCK = 'SELECT pg_advisory_xact_lock(7463201)'

/** Runs `make` once for everybody who asks, and again after a failure. */
export function once(make: () => Promise<void>): () => Promise<void> {
  let made: Promise<void> | undefined
  return async () => {
    made ??= make().catch((error: unknown) => {
      made = undefined
      throw error
    })
    await made
  }
}
