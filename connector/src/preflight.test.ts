import { parseRules } from '@lockstep/schemas'
import { describe, expect, test } from 'vitest'
import { runPreflight } from './preflight.ts'
import type { CatalogFacts, TableFacts } from './ports.ts'

const rules = parseRules('tables:\n  public.products:\n    - tag: product:{id}\n    - tag: category:{category_id}\n')
const insertOnly = parseRules('tables:\n  public.products:\n    - tag: product:{id}\n      on: [insert]\n')
const config = { slot: 's', publication: 'p', createPublication: true, createSlot: true }
const identity = { systemId: '1', timeline: 1 }

const products: TableFacts = {
  columns: ['id', 'category_id', 'body'],
  primaryKey: ['id'],
  identity: 'f',
  identityColumns: ['id', 'category_id', 'body'],
  isUnlogged: false,
  isPartitioned: false,
  isOwned: true,
  oid: 16_385,
}
const sound: CatalogFacts = {
  serverVersion: 180_004,
  walLevel: 'logical',
  isInRecovery: false,
  sql: identity,
  replication: identity,
  role: 'app',
  database: 'shop',
  mayReplicate: true,
  mayCreate: true,
  hasEpochTable: true,
  freeSlots: 3,
  freeSenders: 3,
  slot: { plugin: 'pgoutput', database: 'd', isActive: false, isLost: false },
  publication: {
    viaRoot: true,
    publishes: new Set(['insert', 'update', 'delete', 'truncate'] as const),
    tables: new Map([['public.products', ['id', 'category_id', 'body']]]),
    filtered: [],
  },
  tables: new Map([['public.products', products]]),
  maxSlotWalKeepMb: 1000,
  synchronousStandbys: '',
}
const publication = sound.publication as NonNullable<CatalogFacts['publication']>

const judge = (facts: Partial<CatalogFacts>, ruleSet = rules, options: Partial<typeof config> = {}) =>
  runPreflight({ facts: () => Promise.resolve({ ...sound, ...facts }) }, ruleSet, { ...config, ...options })
const table = (facts: Partial<TableFacts>): Partial<CatalogFacts> => ({
  tables: new Map([['public.products', { ...products, ...facts }]]),
})

describe('connector/preflight', () => {
  test('a sound source passes every check', async () => {
    expect((await judge({})).filter(({ severity }) => severity !== 'ok')).toEqual([])
  })

  const faults: [name: string, severity: 'error' | 'warn' | 'info', facts: Partial<CatalogFacts>, remedy: RegExp][] = [
    ['server-version', 'error', { serverVersion: 130_011 }, /14/],
    ['wal-level', 'error', { walLevel: 'replica' }, /ALTER SYSTEM SET wal_level = logical/],
    ['primary', 'error', { isInRecovery: true }, /primary/],
    ['epoch-table', 'error', { hasEpochTable: false, mayCreate: false }, /GRANT CREATE ON DATABASE "shop" TO "app";/],
    ['replication-right', 'error', { mayReplicate: false }, /ALTER ROLE "app" WITH REPLICATION/],
    ['replication-connection', 'error', { replication: 'no pg_hba.conf entry' }, /pg_hba/],
    ['same-server', 'error', { replication: { systemId: '2', timeline: 1 } }, /pooler/],
    ['same-server', 'error', { replication: { systemId: '1', timeline: 2 } }, /pooler/],
    ['free-slot', 'error', { slot: undefined, freeSlots: 0 }, /max_replication_slots/],
    ['free-sender', 'error', { freeSenders: 0 }, /max_wal_senders/],
    [
      'slot',
      'error',
      { slot: { plugin: 'wal2json', database: 'd', isActive: false, isLost: false } },
      /LOCKSTEP_CONNECTOR_SLOT/,
    ],
    ['publication', 'error', { publication: undefined, mayCreate: false }, /CREATE/],
    [
      'publication-operations',
      'error',
      { publication: { ...publication, publishes: new Set(['insert']) } },
      /ALTER PUBLICATION/,
    ],
    ['publication-root', 'warn', { publication: { ...publication, viaRoot: false } }, /publish_via_partition_root/],
    ['published', 'error', { publication: { ...publication, tables: new Map() } }, /ADD TABLE "public"."products"/],
    [
      'published',
      'error',
      { publication: { ...publication, tables: new Map([['public.products', ['id']]]) } },
      /DROP TABLE/,
    ],
    ['row-filter', 'error', { publication: { ...publication, filtered: ['public.products'] } }, /DROP TABLE/],
    ['owner', 'error', { publication: undefined, ...table({ isOwned: false }) }, /OWNER TO/],
    ['table', 'error', { tables: new Map() }, /rules/],
    ['rule-columns', 'error', table({ columns: ['id'] }), /rules/],
    [
      'replica-identity',
      'error',
      table({ identity: 'd', identityColumns: ['id'] }),
      /REPLICA IDENTITY FULL.*USING INDEX/,
    ],
    [
      'replica-identity',
      'error',
      table({ identity: 'd', identityColumns: [], primaryKey: [] }),
      /REPLICA IDENTITY FULL/,
    ],
    ['unlogged', 'warn', table({ isUnlogged: true }), /SET LOGGED/],
    ['partitioned', 'warn', table({ isPartitioned: true }), /by hand/],
    ['slot-wal-size', 'warn', { maxSlotWalKeepMb: -1 }, /max_slot_wal_keep_size/],
    ['synchronous-standbys', 'info', { synchronousStandbys: 'b' }, /^$/],
  ]
  test.each(faults)('%s is found (%s) and its remedy named', async (name, severity, facts, remedy) => {
    const found = (await judge(facts)).find((check) => check.name === name && check.severity !== 'ok')
    expect(found).toMatchObject({ name, severity })
    expect(found?.remedy).toMatch(remedy)
  })

  test('a table without identity is a warning when rules look at inserts only', async () => {
    const checks = await judge(table({ identity: 'd', identityColumns: [], primaryKey: [] }), insertOnly)
    expect(checks.find(({ name }) => name === 'replica-identity')?.severity).toBe('warn')
  })

  test('what may be created is no fault, and is one when creating is switched off', async () => {
    const missing = { slot: undefined, publication: undefined }
    expect((await judge(missing)).filter(({ severity }) => severity === 'error')).toEqual([])
    const checks = await judge(missing, rules, { createSlot: false, createPublication: false })
    expect(checks.filter(({ severity }) => severity === 'error').map(({ name }) => name)).toEqual([
      'slot',
      'publication',
    ])
  })

  test('an unreachable database is a finding, not a rejection', async () => {
    const checks = await runPreflight({ facts: () => Promise.reject(new Error('ECONNREFUSED')) }, rules, config)
    expect(checks).toMatchObject([{ name: 'reachable', severity: 'error' }])
  })
})
