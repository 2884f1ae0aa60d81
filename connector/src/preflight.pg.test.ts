import { parseRules } from '@lockstep/schemas'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { readServer } from './adapters/catalog-server.ts'
import { checkSource } from './compose.ts'
import { createRecordingLog, openTestSource, PRODUCT_RULES, startOn } from './testing/test-source.ts'
import type { TestSource } from './testing/test-source.ts'

const SERVERS = [
  ['15', inject('postgres15Url')],
  ['18', inject('postgresUrl')],
] as const

describe.each(SERVERS.filter(([, url]) => url !== ''))('connector/preflight on PostgreSQL %s', (_major, serverUrl) => {
  let source: TestSource
  beforeEach(async () => {
    source = await openTestSource(serverUrl)
  })
  afterEach(() => source.drop())

  const faults = async (rules = PRODUCT_RULES, config = source.config) => {
    const checks = await checkSource(config, rules)
    return checks.filter(({ severity }) => severity === 'error').map(({ name }) => name)
  }

  test('a new database with the right identity has no fault, and checking changes nothing', async () => {
    expect(await faults()).toEqual([])
    const { rows } = await source.query(
      `select 1 from pg_publication union all select 1 from pg_namespace where nspname = 'lockstep'`,
    )
    expect(rows).toEqual([])
  })

  test('identity, columns and tables are judged as the catalog shows them', async () => {
    await source.query('alter table products replica identity default')
    expect(await faults()).toEqual(['replica-identity'])
    await source.query('create unique index by_category on products (id, category_id)')
    await source.query('alter table products alter category_id set not null')
    await source.query('alter table products replica identity using index by_category')
    expect(await faults()).toEqual([])
    await source.query('alter table products replica identity nothing')
    expect(await faults()).toEqual(['replica-identity'])
    const rules = parseRules(
      'tables:\n  public.products:\n    - tag: x:{nothing}\n  public.absent:\n    - tag: y:{id}\n',
    )
    expect(await faults(rules)).toEqual(['rule-columns', 'replica-identity', 'table'])
  })

  test('a publication that misses a table or an operation is a fault', async () => {
    await source.query(
      `create table other (id int primary key); create publication lockstep for table other with (publish = 'insert')`,
    )
    expect(await faults()).toEqual(['publication-operations', 'published'])
  })

  test('a role without the rights is told every one that it needs, at once, and nothing is created', async () => {
    const role = `weak_${source.config.slot}`
    await source.query(`create role ${role} login password 'weak'; grant select on products to ${role}`)
    try {
      const url = new URL(source.url)
      url.username = role
      url.password = 'weak'
      const config = { ...source.config, databaseUrl: url.href }
      expect(await faults(PRODUCT_RULES, config)).toEqual(['replication-right', 'epoch-table', 'publication'])
      const log = createRecordingLog()
      await expect(startOn(source, log, { config })).rejects.toMatchObject({
        code: 'LOCKSTEP_CON_PREFLIGHT',
        disposition: 'config',
        message: expect.stringMatching(/REPLICATION[\s\S]*own/) as unknown,
      })
      await log.close()
      const { rows } = await source.query('select 1 from pg_publication')
      expect(rows).toEqual([])
    } finally {
      await source.query(`revoke all on products from ${role}; drop role ${role}`)
    }
  })

  test('a transaction is seen from its first statement on, with its age', async () => {
    const writer = await source.connect()
    await writer.query('begin; insert into products values (1)')
    const { rows } = await writer.query<{ pid: number }>('select pg_backend_pid() as pid')
    const expected = {
      pid: rows[0]?.pid,
      gid: null,
      database: source.config.slot,
      openSeconds: expect.any(Number) as number,
    }
    expect((await readServer(source.client, -1)).longTransactions).toContainEqual(expected)
    expect((await readServer(source.client)).longTransactions).toEqual([])
  })

  test('an unreachable server is one finding', async () => {
    expect(await faults(PRODUCT_RULES, { ...source.config, databaseUrl: 'postgres://x:y@127.0.0.1:1/z' })).toEqual([
      'reachable',
    ])
  })
})
