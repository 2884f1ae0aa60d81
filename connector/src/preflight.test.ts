import { parseRules } from '@lockstep/schemas'
import { describe, expect, test } from 'vitest'
import { runPreflight } from './preflight.ts'
import type { CatalogFacts, SlotFacts } from './ports.ts'
import type { LeafFacts, ServerFacts, TableFacts } from './source-facts.ts'

const rules = parseRules('tables:\n  public.products:\n    - tag: product:{id}\n    - tag: category:{category_id}\n')
const insertOnly = parseRules('tables:\n  public.products:\n    - tag: product:{id}\n      on: [insert]\n')
const config = {
  namespace: 'n',
  slot: 's',
  publication: 'p',
  createPublication: true,
  createSlot: true,
  failoverSlot: true,
}
const identity = { systemId: '1', timeline: 1 }

const products: TableFacts = {
  name: 'public.products',
  kind: 'table',
  columns: ['id', 'category_id', 'body'],
  generatedColumns: [],
  notNullColumns: ['id', 'category_id'],
  primaryKey: ['id'],
  identity: 'f',
  identityColumns: ['id', 'category_id', 'body'],
  isUnlogged: false,
  isOwned: true,
  oid: 16_385,
  root: null,
  children: [],
  leaves: [],
}
const leaf: LeafFacts = {
  name: 'public.products_1',
  identity: 'f',
  identityColumns: ['id', 'category_id', 'body'],
  isUnlogged: false,
  isForeign: false,
  rootIndex: null,
}
const soundSlot: SlotFacts = {
  plugin: 'pgoutput',
  database: 'shop',
  isActive: false,
  consumer: '',
  isLost: false,
  confirmed: null,
  walStatus: 'reserved',
  isTemporary: false,
  isTwoPhase: false,
  isFailover: true,
}
const soundServer: ServerFacts = {
  provider: undefined,
  isSuperuser: false,
  settings: {
    max_replication_slots: '10',
    max_wal_senders: '10',
    wal_sender_timeout: '60000',
    idle_replication_slot_timeout: '0',
    synchronized_standby_slots: 'b',
  },
  isPooled: false,
  seesAllSessions: true,
  longTransactions: [],
  restricted: [],
  schema: 'granted',
  epochTable: 'granted',
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
  freeSlots: 3,
  freeSenders: 3,
  slot: soundSlot,
  publication: {
    isForAllTables: false,
    viaRoot: true,
    publishes: new Set(['insert', 'update', 'delete', 'truncate'] as const),
    tables: new Map([['public.products', ['id', 'category_id', 'body']]]),
    filtered: [],
  },
  tables: new Map([['public.products', products]]),
  maxSlotWalKeepMb: 1000,
  synchronousStandbys: '',
  server: soundServer,
}
const publication = sound.publication as NonNullable<CatalogFacts['publication']>

const judge = (facts: Partial<CatalogFacts>, ruleSet = rules, options: Partial<typeof config> = {}) =>
  runPreflight({ facts: () => Promise.resolve({ ...sound, ...facts }) }, ruleSet, { ...config, ...options })
const table = (facts: Partial<TableFacts>): Partial<CatalogFacts> => ({
  tables: new Map([['public.products', { ...products, ...facts }]]),
})
const partitioned = (facts: Partial<LeafFacts>): Partial<CatalogFacts> =>
  table({ kind: 'partitioned', leaves: [leaf, { ...leaf, ...facts, name: 'public.products_2' }] })
const server = (facts: Partial<ServerFacts>): Partial<CatalogFacts> => ({ server: { ...soundServer, ...facts } })
const settings = (values: Partial<ServerFacts['settings']>) =>
  server({ settings: { ...soundServer.settings, ...values } })
const slot = (facts: Partial<SlotFacts>): Partial<CatalogFacts> => ({ slot: { ...soundSlot, ...facts } })

describe('connector/preflight', () => {
  test('a sound source passes every check', async () => {
    expect((await judge({})).filter(({ severity }) => severity !== 'ok')).toEqual([])
  })

  const byKey = { identity: 'd', identityColumns: ['id'] } as const
  const noKey = { identity: 'd', identityColumns: [], primaryKey: [] } as const
  const faults: [name: string, severity: 'error' | 'warn' | 'info', facts: Partial<CatalogFacts>, remedy: RegExp][] = [
    ['server-version', 'error', { serverVersion: 130_011 }, /14/],
    [
      'wal-level',
      'error',
      { walLevel: 'replica' },
      /^ALTER SYSTEM SET wal_level = logical; -- then restart the server$/,
    ],
    ['wal-level', 'error', { walLevel: 'replica', ...server({ provider: 'rds' }) }, /rds.logical_replication = 1/],
    ['primary', 'error', { isInRecovery: true }, /primary/],
    ['slot-wal-size', 'warn', { maxSlotWalKeepMb: -1 }, /max_slot_wal_keep_size = '50GB'/],
    ['sender-timeout', 'warn', settings({ wal_sender_timeout: '0' }), /wal_sender_timeout = '60s'/],
    ['sender-timeout', 'info', settings({ wal_sender_timeout: '1000' }), /^$/],
    ['idle-slot-timeout', 'info', settings({ idle_replication_slot_timeout: '3600' }), /^$/],
    ['synchronous-standbys', 'info', { synchronousStandbys: 'b' }, /^$/],
    [
      'long-transactions',
      'warn',
      server({ longTransactions: [{ pid: 7, gid: null, database: 'shop', openSeconds: 900 }] }),
      /^SELECT pg_terminate_backend\(7\);/,
    ],
    [
      'long-transactions',
      'warn',
      server({ longTransactions: [{ pid: null, gid: "it's", database: 'shop', openSeconds: 900 }] }),
      /^ROLLBACK PREPARED 'it''s';/,
    ],
    ['long-transactions', 'info', server({ seesAllSessions: false }), /pg_read_all_stats/],
    ['same-server', 'error', { replication: { systemId: '2', timeline: 1 } }, /pooler/],
    ['same-server', 'error', { replication: { systemId: '1', timeline: 2 } }, /pooler/],
    ['pooler', 'warn', server({ isPooled: true }), /primary itself/],
    ['pooler', 'error', { replication: 'unsupported parameter', ...server({ isPooled: true }) }, /primary itself/],
    ['replication-connection', 'error', { replication: 'no pg_hba.conf entry' }, /pg_hba/],
    ['replication-connection', 'error', { replication: 'too many connections for role "app"' }, /CONNECTION LIMIT -1/],
    ['superuser', 'warn', server({ isSuperuser: true }), /doctor --sql/],
    ['replication-right', 'error', { mayReplicate: false }, /^ALTER ROLE "app" WITH REPLICATION;$/],
    [
      'replication-right',
      'error',
      { mayReplicate: false, ...server({ provider: 'rds' }) },
      /^GRANT rds_replication TO "app";$/,
    ],
    [
      'epoch-table',
      'error',
      { mayCreate: false, ...server({ epochTable: 'absent', schema: 'absent' }) },
      /^GRANT CREATE ON DATABASE "shop" TO "app";$/,
    ],
    [
      'epoch-table',
      'error',
      server({ epochTable: 'absent', schema: 'denied' }),
      /^GRANT USAGE, CREATE ON SCHEMA lockstep TO "app";$/,
    ],
    [
      'epoch-table',
      'error',
      server({ epochTable: 'denied' }),
      /GRANT SELECT, INSERT, UPDATE ON lockstep.epoch TO "app";$/,
    ],
    [
      'functions',
      'error',
      server({ restricted: [{ signature: 'f(text)', mayExecute: false }] }),
      /^GRANT EXECUTE ON FUNCTION f\(text\) TO "app";$/,
    ],
    [
      'free-slot',
      'error',
      { slot: undefined, freeSlots: 0 },
      /^ALTER SYSTEM SET max_replication_slots = 14; -- then restart/,
    ],
    ['free-sender', 'error', { freeSenders: 0 }, /^ALTER SYSTEM SET max_wal_senders = 14; -- then restart/],
    ['slot', 'error', slot({ plugin: 'wal2json' }), /^LOCKSTEP_CONNECTOR_SLOT=s_shop$/],
    ['slot', 'error', slot({ database: 'other' }), /^LOCKSTEP_CONNECTOR_SLOT=s_shop$/],
    ['slot', 'error', slot({ isTemporary: true }), /^LOCKSTEP_CONNECTOR_SLOT=s_shop$/],
    ['slot', 'error', slot({ isTwoPhase: true }), /^SELECT pg_drop_replication_slot\('s'\);/],
    ['slot', 'warn', slot({ isLost: true, walStatus: 'lost' }), /^SELECT pg_drop_replication_slot\('s'\);/],
    ['slot', 'warn', slot({ isActive: true, consumer: 'debezium' }), /^LOCKSTEP_CONNECTOR_SLOT=s_shop$/],
    ['slot', 'warn', slot({ isActive: true, consumer: 'lockstep other' }), /^LOCKSTEP_CONNECTOR_SLOT=s_shop$/],
    ['slot', 'warn', slot({ walStatus: 'unreserved' }), /start/],
    ['failover-slot', 'info', slot({ isFailover: false }), /drop the slot/],
    ['failover-slot', 'info', settings({ synchronized_standby_slots: '' }), /^$/],
    [
      'publication',
      'error',
      { publication: undefined, mayCreate: false },
      /^CREATE PUBLICATION "p" FOR TABLE "public"."products"/,
    ],
    [
      'publication',
      'error',
      { publication: undefined, ...table({ isOwned: false }) },
      /-- as the owner of the tables$/,
    ],
    [
      'publication-operations',
      'error',
      { publication: { ...publication, publishes: new Set(['insert']) } },
      /^ALTER PUBLICATION "p" SET \(publish = 'insert, update, delete, truncate'\);$/,
    ],
    [
      'publication-root',
      'warn',
      { publication: { ...publication, viaRoot: false } },
      /publish_via_partition_root = true/,
    ],
    [
      'published',
      'error',
      { publication: { ...publication, tables: new Map() } },
      /^ALTER PUBLICATION "p" ADD TABLE "public"."products";$/,
    ],
    [
      'published',
      'error',
      { publication: { ...publication, tables: new Map([['public.products', ['id']]]) } },
      /^ALTER PUBLICATION "p" DROP TABLE "public"."products";\n.*ADD TABLE "public"."products";$/,
    ],
    [
      'row-filter',
      'error',
      { publication: { ...publication, filtered: ['public.products'] } },
      /DROP TABLE.*\n.*ADD TABLE/,
    ],
    ['table', 'error', { tables: new Map() }, /rules/],
    ['table-kind', 'error', table({ kind: 'view' }), /the tables that it reads/],
    ['table-kind', 'error', table({ kind: 'foreign table' }), /out of the rules/],
    ['unlogged', 'error', table({ isUnlogged: true }), /^ALTER TABLE "public"."products" SET LOGGED;$/],
    [
      'partition',
      'error',
      { ...table({ root: 'public.all' }), publication: { ...publication, tables: new Map([['public.all', null]]) } },
      /name public.all in the rules/,
    ],
    ['rule-columns', 'error', table({ columns: ['id'] }), /rules/],
    [
      'generated-columns',
      'error',
      {
        ...table({ generatedColumns: ['category_id'] }),
        publication: { ...publication, tables: new Map([['public.products', ['id', 'body']]]) },
      },
      /publish_generated_columns = stored/,
    ],
    [
      'replica-identity',
      'error',
      table(byKey),
      /^ALTER TABLE "public"."products" REPLICA IDENTITY FULL;\n-- or[\s\S]*USING INDEX "products_lockstep";$/,
    ],
    ['replica-identity', 'error', table(noKey), /^ALTER TABLE "public"."products" REPLICA IDENTITY FULL;$/],
    ['partitioned', 'info', partitioned({}), /by hand/],
    ['partition-identity', 'error', partitioned(byKey), /^ALTER TABLE "public"."products_2" REPLICA IDENTITY FULL;$/],
    ['partition-kind', 'error', partitioned({ isUnlogged: true }), /^ALTER TABLE "public"."products_2" SET LOGGED;$/],
    ['partition-kind', 'error', partitioned({ isForeign: true }), /detach public.products_2/],
    ['inherited', 'warn', table({ children: ['public.special'] }), /public.special/],
  ]
  test.each(faults)('%s is found (%s) and its remedy named', async (name, severity, facts, remedy) => {
    const found = (await judge(facts)).filter((check) => check.severity !== 'ok')
    // That a table is partitioned is said besides.
    const checks = found.filter((check) => check.name === name || check.name !== 'partitioned')
    expect(checks).toMatchObject([{ name, severity }])
    expect(checks[0]?.remedy).toMatch(remedy)
    expect(checks[0]?.isSql).toBe(/^[A-Z]{4,} /.test(checks[0]?.remedy ?? ''))
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
