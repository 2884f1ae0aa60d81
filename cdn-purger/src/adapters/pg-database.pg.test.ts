import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { createJournalStore } from '../journal/sql-store.ts'
import { entry, item, readAll, registerJournalStoreContract } from '../testing/journal-contract.ts'
import { registerJobStoreContract } from '../testing/job-store-contract.ts'
import { openPg } from './pg-database.ts'

const admin = new pg.Pool({ connectionString: inject('postgresUrl'), max: 1 })
const made: string[] = []
let url = ''

beforeEach(async () => {
  const name = `journal_${randomUUID().replaceAll('-', '')}`
  await admin.query(`CREATE DATABASE ${name}`)
  made.push(name)
  url = Object.assign(new URL(inject('postgresUrl')), { pathname: `/${name}` }).href
})
afterAll(async () => {
  for (const name of made) await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
  await admin.end()
})

const openDatabase = () => openPg({ url, onError: () => undefined })
const open = () => createJournalStore(openDatabase())

describe('cdn-purger/journal on Postgres', () => {
  registerJournalStoreContract(() => Promise.resolve(open()))

  registerJobStoreContract(() => Promise.resolve(openDatabase()))

  test('purgers that start together and write into a new day make its table once', async () => {
    const stores = [open(), open(), open()]
    await Promise.all(stores.map((store, n) => store.write([entry(5, [item(`a:${n}`, n)])])))
    expect(await readAll(stores[0]!)).toHaveLength(3)
    for (const store of stores) await store.close()
  })

  test('a transaction whose session the server ends fails, and nothing else does', async () => {
    const database = openDatabase()
    const ended = database.transact([['SELECT pg_terminate_backend(pg_backend_pid())']])
    await expect(ended).rejects.toThrow(/terminat/)
    expect(await database.query('SELECT 1 AS one')).toEqual([{ one: 1 }])
    await database.close()
  })
})
