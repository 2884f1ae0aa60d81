import type { Account, Accounts } from '../sessions/login-routes.ts'
import { connectTo, openPool, sqlOf, withClient } from './pg-database.ts'

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
  const pool = openPool({ ...options, maxConnections: CONNECTIONS, applicationName: 'lockstep-api-accounts' })
  const rows = <T extends object>(name: string, text: string, values: string[]): Promise<T[]> =>
    withClient(
      () => connectTo(pool),
      (client) => sqlOf(client).rows<T>(name, text, values),
    )
  return {
    find: async (name) => (await rows<Account>('account', FIND, [name]))[0] ?? null,
    create: async (name, passwordHash) => (await rows('new-account', CREATE, [name, passwordHash])).length > 0,
    close: () => pool.end(),
  }
}
