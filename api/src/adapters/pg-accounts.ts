import pg from 'pg'
import { fail } from '../errors.ts'
import type { Account, Accounts } from '../sessions/login-routes.ts'

/** The table of accounts. No rule names it: what is personal is never cached. */
export const ACCOUNTS_SCHEMA = `
create table if not exists public.accounts (
  name text primary key,
  role text not null default 'customer' check (role in ('customer', 'admin')),
  password_hash text not null
)`

const FIND = 'select name as subject, role, password_hash as "passwordHash" from public.accounts where name = $1'
const CREATE = `insert into public.accounts (name, role, password_hash) values ($1, 'customer', $2)
  on conflict (name) do nothing returning name`
// However busy the shop is, somebody can still log in, and however many log in, the shop loses no connection.
const CONNECTIONS = 2

/** Accounts in the shop's primary. */
export interface PgAccounts extends Accounts {
  close(): Promise<void>
}

/** Opens the accounts on connections of their own, made on demand. */
export function openAccounts(options: {
  readonly databaseUrl: string
  readonly statementTimeoutMs: number
}): PgAccounts {
  const pool = new pg.Pool({
    connectionString: options.databaseUrl,
    max: CONNECTIONS,
    statement_timeout: options.statementTimeoutMs,
    query_timeout: options.statementTimeoutMs,
    connectionTimeoutMillis: options.statementTimeoutMs,
    application_name: 'lockstep-api-accounts',
  })
  // An idle connection that breaks is replaced on demand.
  pool.on('error', () => undefined)
  const rows = async <T extends pg.QueryResultRow>(text: string, values: string[]): Promise<T[]> => {
    try {
      return (await pool.query<T>(text, values)).rows
    } catch (cause) {
      throw cause instanceof pg.DatabaseError ? cause : fail('LOCKSTEP_API_DATABASE_UNREACHABLE', {}, cause)
    }
  }
  return {
    find: async (name) => (await rows<Account & pg.QueryResultRow>(FIND, [name]))[0] ?? null,
    create: async (name, passwordHash) => (await rows(CREATE, [name, passwordHash])).length > 0,
    close: () => pool.end(),
  }
}
