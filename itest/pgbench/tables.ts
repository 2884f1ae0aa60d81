/** How the four tables of pgbench are read through the cache: one entry each for the three that hold balances. */
export interface BalanceTable {
  readonly table: string
  readonly tagClass: string
  readonly key: string
  readonly value: string
}

export const BALANCE_TABLES: readonly BalanceTable[] = [
  { table: 'pgbench_accounts', tagClass: 'account', key: 'aid', value: 'abalance' },
  { table: 'pgbench_tellers', tagClass: 'teller', key: 'tid', value: 'tbalance' },
  { table: 'pgbench_branches', tagClass: 'branch', key: 'bid', value: 'bbalance' },
]

/** `table:key` of the tag `class:key`, or null for a tag of another table. */
export function rowOfTag(tag: string): string | null {
  const colon = tag.indexOf(':')
  const table = BALANCE_TABLES.find((candidate) => candidate.tagClass === tag.slice(0, colon))
  return table ? `${table.table}:${tag.slice(colon + 1)}` : null
}
