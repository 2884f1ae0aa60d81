import type { PoolUse, Written } from './ports.ts'

/** Runs one statement. `name` prepares it once per connection: statements of one name have one text. */
export interface Sql {
  /** @throws LockstepError LOCKSTEP_API_DATABASE_UNREACHABLE where trying again may help. */
  readonly rows: <T extends object>(name: string, text: string, values?: readonly unknown[]) => Promise<T[]>
}

/** The shop's primary. @throws LockstepError LOCKSTEP_API_DATABASE_BUSY where a turn would not come in time. */
export interface Database extends Sql {
  /** Tells whether a statement would have a turn in time now; one that would not counts as refused. */
  admits(): boolean
  /** For what the cache loads, which it has admitted already. */
  readonly loads: Sql
  /** One statement, then a snapshot that sees it; null where it returned no row. */
  write<T extends object>(text: string, values: readonly unknown[]): Promise<Written<T> | null>
  /** One transaction, rolled back where `work` rejects, then a snapshot that sees it. */
  transact<T>(work: (sql: Sql) => Promise<T>): Promise<Written<T>>
  /** What the pool is used for now. */
  use(): PoolUse
  /** Waits for running statements. */
  close(): Promise<void>
}
