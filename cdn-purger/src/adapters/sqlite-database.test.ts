import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { createJournalStore } from '../journal/sql-store.ts'
import { entry, item, readAll, registerJournalStoreContract } from '../testing/journal-contract.ts'
import { registerJobStoreContract } from '../testing/job-store-contract.ts'
import { openSqlite } from './sqlite-database.ts'

const directory = mkdtempSync(join(tmpdir(), 'lockstep-journal-'))
afterAll(() => rmSync(directory, { recursive: true }))

describe('cdn-purger/journal on SQLite', () => {
  registerJournalStoreContract(() => Promise.resolve(createJournalStore(openSqlite(':memory:'))))

  registerJobStoreContract(() => Promise.resolve(openSqlite(':memory:')))

  test('a journal in a file is there for the next process', async () => {
    const path = join(directory, 'made', 'journal.db')
    const first = createJournalStore(openSqlite(path))
    await first.write([entry(1, [item('a:1', 1)])])
    await first.close()
    const second = createJournalStore(openSqlite(path))
    expect(await readAll(second)).toHaveLength(1)
    await second.close()
  })

  test('a transaction of which one statement fails leaves nothing', async () => {
    const database = openSqlite(':memory:')
    await database.query('CREATE TABLE t (a integer NOT NULL)')
    await expect(database.transact([['INSERT INTO t VALUES (1)'], ['INSERT INTO t VALUES (NULL)']])).rejects.toThrow(
      'NOT NULL',
    )
    expect(await database.query('SELECT * FROM t')).toEqual([])
    await database.close()
  })
})
