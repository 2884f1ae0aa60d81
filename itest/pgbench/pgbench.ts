import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import pg from 'pg'
import { History } from './history.ts'
import { BALANCE_TABLES } from './tables.ts'

/** Finds pgbench on PATH or among Debian's versioned directories. @throws Error naming the package that has it. */
function findPgbench(): string {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).map((version) => join(debian, version, 'bin')) : []
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), ...versions]
  const found = directories.map((directory) => join(directory, 'pgbench')).find((path) => existsSync(path))
  if (!found) throw new Error('pgbench was not found; install postgresql-contrib (Debian) or the postgresql package')
  return found
}

/** Runs pgbench to its end. Resolves with its output; a non-zero exit is an error unless `mayFail`. */
export async function pgbench(url: string, args: readonly string[], mayFail = false): Promise<string> {
  const child = spawn(findPgbench(), [...args, url], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.on('data', (chunk) => (output += String(chunk)))
  child.stderr.on('data', (chunk) => (output += String(chunk)))
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve))
  if (code !== 0 && !mayFail) throw new Error(`pgbench ended with ${code}: ${output.slice(-500)}`)
  return output
}

const ORACLE_SLOT = 'oracle'
const CHUNK = 50_000

/** A second, independent reader of the same log: `test_decoding`, by SQL. */
export class HistoryReader {
  readonly history = new History(new Map(BALANCE_TABLES.map(({ table, key, value }) => [table, [key, value] as const])))
  readonly #url: string

  constructor(url: string) {
    this.#url = url
  }

  /** Begins the history: what is committed from now on is in it. */
  async begin(): Promise<void> {
    await this.#query(`select pg_create_logical_replication_slot('${ORACLE_SLOT}', 'test_decoding')`)
  }

  /** Takes everything committed so far. */
  async drain(): Promise<void> {
    const sql = `select data from pg_logical_slot_get_changes('${ORACLE_SLOT}', null, ${CHUNK}, 'include-timestamp', 'on')`
    for (;;) {
      const lines = await this.#query(sql)
      for (const line of lines) this.history.line(line)
      if (lines.length < CHUNK) return
    }
  }

  /** Every balance as the database has it now, `table:key` → value. */
  async balances(): Promise<Map<string, string>> {
    const balances = new Map<string, string>()
    for (const { table, key, value } of BALANCE_TABLES) {
      const rows = await this.#query(`select ${key} || '=' || ${value} from ${table} where ${value} <> 0`)
      for (const row of rows) {
        const [id = '', balance = ''] = row.split('=')
        balances.set(`${table}:${id}`, balance)
      }
    }
    return balances
  }

  async #query(text: string): Promise<string[]> {
    const client = new pg.Client({ connectionString: this.#url, options: '-c timezone=UTC -c datestyle=ISO' })
    await client.connect()
    try {
      return (await client.query<[string]>({ text, rowMode: 'array' })).rows.map(([column]) => String(column))
    } finally {
      await client.end()
    }
  }
}
