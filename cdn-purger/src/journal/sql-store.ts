import type { Tag } from '@lockstep/schemas'
import { COLUMNS, matches, recordsOf, rowOf, tagHash, tagHashes } from './pack.ts'
import type { EntryRow, StoredRow } from './pack.ts'
import type { JournalEntry } from './port.ts'
import { once, SCHEMA_LOCK } from './sql.ts'
import type { SqlDatabase, SqlStatement, SqlValue } from './sql.ts'
import type { JournalPosition, JournalQuery, JournalRecord, JournalStore } from './store.ts'

const DAY_MS = 86_400_000
// Entries per page: 250 purges each at most, so about 5 MB.
const PAGE = 200
// Entries forgotten per statement: some ms of the event loop.
const PRUNE_BATCH = 500
// 500 full entries are 12 MB of lines, which SQLite searches in 15 ms.
const SQLITE_WINDOW = 500

/** What differs between the two databases: how tags are indexed and how old entries go. */
interface Dialect {
  readonly create: readonly string[]
  insert(entries: readonly JournalEntry[]): SqlStatement[]
  /** Condition and parameter that keep the rows with a tag. */
  hasTag(tag: Tag): [condition: (n: number) => string, value: SqlValue]
  /** Rows read at once, or null where a reading holds up nobody else. */
  readonly windowRows: number | null
  prune(beforeMs: number): Promise<void>
  /** Makes room for entries of these days. */
  prepare(entries: readonly JournalEntry[]): Promise<void>
}

/** The journal in a database. Its tables are made with the first use, so the database need not answer yet. */
export function createJournalStore(database: SqlDatabase): JournalStore {
  const dialect = database.kind === 'sqlite' ? sqliteDialect(database) : postgresDialect(database)
  const ready = once(async () => database.transact(dialect.create.map((text) => [text])))
  return {
    async write(entries) {
      await ready()
      await dialect.prepare(entries)
      await database.transact(dialect.insert(entries))
    },
    async *read(query) {
      await ready()
      yield* readJournal(database, dialect, query)
    },
    async prune(beforeMs) {
      await ready()
      await dialect.prune(beforeMs)
    },
    close: () => database.close(),
  }
}

async function* readJournal(
  database: SqlDatabase,
  dialect: Dialect,
  query: JournalQuery,
): AsyncGenerator<JournalRecord> {
  const { newestFirst = false } = query
  const windows = dialect.windowRows === null ? [WHOLE] : await windowsOf(database, dialect.windowRows, query)
  for (const window of windows) {
    // Between two windows of an embedded store the lanes have their turn.
    if (window !== WHOLE) await new Promise<void>((resolve) => void setImmediate(resolve))
    let cursor = query.after
    for (;;) {
      const [text, params] = selectOf(dialect, query, { window, from: cursor?.entry })
      const rows = (await database.query(text, params)) as unknown as StoredRow[]
      for (const row of rows) yield* unread(row, query, cursor)
      const last = rows.at(-1)
      if (!last || rows.length < PAGE) break
      // Past the last item of that row, whichever way it is read.
      cursor = { entry: Number(last.seq), item: newestFirst ? -1 : Number.POSITIVE_INFINITY }
    }
  }
}

/** The purges of a row that the query asks for and that lie behind the cursor in reading order. */
function* unread(row: StoredRow, query: JournalQuery, cursor: JournalPosition | undefined): Generator<JournalRecord> {
  const records = [...recordsOf(row)]
  const direction = query.newestFirst ? -1 : 1
  for (const record of query.newestFirst ? records.toReversed() : records) {
    const { position } = record
    const isRead = cursor?.entry === position.entry && (position.item - cursor.item) * direction <= 0
    if (!isRead && matches(record, query)) yield record
  }
}

/** Rows from one `seq` to another, both included. */
type Window = readonly [low: number, high: number]

const WHOLE: Window = [0, Number.MAX_SAFE_INTEGER]

/** Cuts what is there into windows in reading order. */
async function windowsOf(database: SqlDatabase, rows: number, query: JournalQuery): Promise<Window[]> {
  const [bounds] = await database.query('SELECT min(seq) AS low, max(seq) AS high FROM purge_journal')
  if (!bounds || bounds['low'] === null) return []
  const after = query.after?.entry
  const low = Math.max(Number(bounds['low']), query.newestFirst ? 0 : (after ?? 0))
  const high = Math.min(
    Number(bounds['high']),
    query.newestFirst ? (after ?? Number.MAX_SAFE_INTEGER) : Number.MAX_SAFE_INTEGER,
  )
  const windows: Window[] = []
  for (let start = low; start <= high; start += rows) windows.push([start, Math.min(high, start + rows - 1)])
  return query.newestFirst ? windows.toReversed() : windows
}

function selectOf(
  dialect: Dialect,
  query: JournalQuery,
  { window, from }: { readonly window: Window; readonly from: number | undefined },
): [string, SqlValue[]] {
  const params: SqlValue[] = []
  const conditions: string[] = []
  const add = (condition: (n: number) => string, value: SqlValue | undefined) => {
    if (value === undefined) return
    params.push(value)
    conditions.push(condition(params.length))
  }
  add((n) => `at_ms >= $${n}`, query.fromMs)
  add((n) => `at_ms < $${n}`, query.toMs)
  add((n) => `max_lsn >= $${n}`, query.fromLsn?.toString())
  add((n) => `min_lsn <= $${n}`, query.toLsn?.toString())
  for (const column of ['batch', 'provider', 'state', 'phase', 'lane'] as const)
    add((n) => `${column} = $${n}`, query[column])
  if (query.tag !== undefined) add(...dialect.hasTag(query.tag))
  add((n) => `seq ${query.newestFirst ? '<=' : '>='} $${n}`, from)
  if (window !== WHOLE) {
    add((n) => `seq >= $${n}`, window[0])
    add((n) => `seq <= $${n}`, window[1])
  }
  const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`
  const order = query.newestFirst ? 'DESC' : 'ASC'
  const text = `SELECT seq, ${READ_COLUMNS} FROM purge_journal ${where} ORDER BY seq ${order} LIMIT ${PAGE}`
  return [text, params]
}

// Not the greatest and smallest position: each line has its own, and a number may not hold all their digits.
const READ_COLUMNS = COLUMNS.filter((name) => name !== 'min_lsn' && name !== 'max_lsn').join(', ')

const SHARED_COLUMNS = `at_ms bigint NOT NULL, state text NOT NULL, phase text NOT NULL, lane text NOT NULL,
  provider text, tier integer, batch text, provider_purge_id text, sent_at_ms bigint, objects bigint, detail text,
  min_lsn bigint NOT NULL, max_lsn bigint NOT NULL, items text NOT NULL`

function sqliteDialect(database: SqlDatabase): Dialect {
  const marks = COLUMNS.map((_, index) => `$${index + 1}`).join(', ')
  const insertRow = `INSERT INTO purge_journal (${COLUMNS.join(', ')}) VALUES (${marks})`
  return {
    create: [
      `CREATE TABLE IF NOT EXISTS purge_journal (seq integer PRIMARY KEY AUTOINCREMENT, ${SHARED_COLUMNS})`,
      'CREATE INDEX IF NOT EXISTS purge_journal_at ON purge_journal (at_ms)',
      'CREATE INDEX IF NOT EXISTS purge_journal_batch ON purge_journal (batch) WHERE batch IS NOT NULL',
    ],
    insert: (entries) =>
      entries.map((entry) => {
        const row = rowOf(entry)
        return [insertRow, COLUMNS.map((name) => row[name])]
      }),
    // No index of tags: it cost 12 to 23 µs per purge, the lines themselves 0.3; they are searched window by window instead.
    hasTag: (tag) => [(n) => `instr(items, $${n}) > 0`, `\t${tag}\t`],
    windowRows: SQLITE_WINDOW,
    prepare: () => Promise.resolve(),
    async prune(beforeMs) {
      const oldest = `SELECT seq FROM purge_journal WHERE at_ms < $1 LIMIT ${PRUNE_BATCH}`
      const remove = `DELETE FROM purge_journal WHERE seq IN (${oldest}) RETURNING 1`
      while ((await database.query(remove, [beforeMs])).length === PRUNE_BATCH)
        await new Promise<void>((resolve) => void setImmediate(resolve))
    },
  }
}

function postgresDialect(database: SqlDatabase): Dialect {
  const known = new Set<number>()
  const types = `at_ms bigint, state text, phase text, lane text, provider text, tier int, batch text,
    provider_purge_id text, sent_at_ms bigint, objects bigint, detail text, min_lsn bigint, max_lsn bigint, items text,
    tag_hashes int[]`
  const columns = [...COLUMNS, 'tag_hashes'].join(', ')
  const insert = `INSERT INTO purge_journal (${columns}) SELECT ${columns} FROM jsonb_to_recordset($1::jsonb) AS r (${types})`
  return {
    create: [
      SCHEMA_LOCK,
      'CREATE SEQUENCE IF NOT EXISTS purge_journal_seq',
      `CREATE TABLE IF NOT EXISTS purge_journal (seq bigint NOT NULL DEFAULT nextval('purge_journal_seq'), ${SHARED_COLUMNS},
         tag_hashes int[] NOT NULL, PRIMARY KEY (seq, at_ms)) PARTITION BY RANGE (at_ms)`,
      'CREATE INDEX IF NOT EXISTS purge_journal_at ON purge_journal (at_ms)',
      'CREATE INDEX IF NOT EXISTS purge_journal_batch ON purge_journal (batch) WHERE batch IS NOT NULL',
      'CREATE INDEX IF NOT EXISTS purge_journal_lsn ON purge_journal (max_lsn)',
      'CREATE INDEX IF NOT EXISTS purge_journal_tags ON purge_journal USING gin (tag_hashes)',
    ],
    insert: (entries) => {
      const rows: (EntryRow & { tag_hashes: number[] })[] = entries.map((entry) => ({
        ...rowOf(entry),
        tag_hashes: tagHashes(entry.items),
      }))
      return [[insert, [JSON.stringify(rows)]]]
    },
    hasTag: (tag) => [(n) => `tag_hashes @> ARRAY[$${n}::int]`, tagHash(tag)],
    windowRows: null,
    prune: (beforeMs) => dropDays(database, beforeMs, known),
    async prepare(entries) {
      const days = new Set(entries.map(({ atMs }) => Math.floor(atMs / DAY_MS)))
      for (const day of days) {
        if (known.has(day)) continue
        await addDay(database, day)
        known.add(day)
      }
    },
  }
}

const DAY_TABLE = /^purge_journal_d(\d+)$/

async function addDay(database: SqlDatabase, day: number): Promise<void> {
  await database.transact([
    [SCHEMA_LOCK],
    [
      `CREATE TABLE IF NOT EXISTS purge_journal_d${day} PARTITION OF purge_journal
         FOR VALUES FROM (${day * DAY_MS}) TO (${(day + 1) * DAY_MS})`,
    ],
  ])
}

async function dropDays(database: SqlDatabase, beforeMs: number, known: Set<number>): Promise<void> {
  const rows = await database.query(
    `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
       WHERE i.inhparent = 'purge_journal'::regclass`,
  )
  for (const { name } of rows) {
    const day = Number(DAY_TABLE.exec(String(name))?.[1] ?? Number.NaN)
    if (!((day + 1) * DAY_MS <= beforeMs)) continue
    known.delete(day)
    // A reader holds the table for a page at most; better to come back in an hour than to queue everybody behind us.
    await database.transact([["SET LOCAL lock_timeout = '2s'"], [`DROP TABLE IF EXISTS purge_journal_d${day}`]])
  }
}
