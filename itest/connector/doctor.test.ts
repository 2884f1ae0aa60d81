import type { ConnectorConfig } from '@lockstep/connector'
import { startPostgres, type PostgresServer } from '@lockstep/servers'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { soundSource, type SoundSource } from './sound-source.ts'

// What a sound server has and a default one has not.
const SETTINGS = { max_slot_wal_keep_size: '1GB', max_prepared_transactions: '2' }

interface Fault {
  readonly title: string
  /** Spoils the database, as superuser. */
  readonly spoil: (source: SoundSource, major: 15 | 18) => string
  readonly check: string
  readonly severity?: 'warn' | 'error'
  /** The remedy, letter by letter. */
  readonly remedy: (source: SoundSource, major: 15 | 18) => string
  readonly needs?: 'restart'
  readonly config?: Partial<ConnectorConfig>
  /** Gives back what later tests need and the remedy does not. */
  readonly restore?: string
}

const PUBLICATION = 'ALTER PUBLICATION "lockstep"'
const other = ({ database }: SoundSource): string => `LOCKSTEP_CONNECTOR_SLOT=${database}_${database}`
const dropSlot = ({ database }: SoundSource): string =>
  `SELECT pg_drop_replication_slot('${database}'); -- the connector makes it anew and flushes every layer`
const emit = (major: number): string => `pg_logical_emit_message(boolean,text,text${major >= 17 ? ',boolean' : ''})`
const everywhere = 'alter publication lockstep set table shop.products, shop.orders;'

const SERVER_FAULTS: readonly Fault[] = [
  {
    title: 'wal_level is not logical',
    spoil: () => 'alter system set wal_level = replica',
    check: 'wal-level',
    remedy: () => 'ALTER SYSTEM SET wal_level = logical; -- then restart the server',
    needs: 'restart',
  },
  {
    title: 'no slot is free',
    spoil: () => 'alter system set max_replication_slots = 0',
    check: 'free-slot',
    remedy: () => 'ALTER SYSTEM SET max_replication_slots = 4; -- then restart the server',
    needs: 'restart',
  },
  {
    title: 'no WAL sender is free',
    spoil: () => 'alter system set max_wal_senders = 0',
    check: 'free-sender',
    remedy: () => 'ALTER SYSTEM SET max_wal_senders = 4; -- then restart the server',
    needs: 'restart',
  },
  {
    title: 'a dead connector would be waited for without end',
    spoil: () => 'alter system set wal_sender_timeout = 0',
    check: 'sender-timeout',
    severity: 'warn',
    remedy: () => "ALTER SYSTEM SET wal_sender_timeout = '60s';\nSELECT pg_reload_conf();",
  },
  {
    title: 'a stopped connector would fill the disk',
    spoil: () => 'alter system set max_slot_wal_keep_size = -1',
    check: 'slot-wal-size',
    severity: 'warn',
    remedy: () => "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB';\nSELECT pg_reload_conf();",
  },
]

const grantEpoch: Fault['remedy'] = ({ role }) =>
  `GRANT USAGE ON SCHEMA lockstep TO "${role}";\nGRANT SELECT, INSERT, UPDATE ON lockstep.epoch TO "${role}";`

const ROLE_FAULTS: readonly Fault[] = [
  {
    title: 'the role may not replicate',
    spoil: ({ role }) => `alter role ${role} noreplication`,
    check: 'replication-right',
    remedy: ({ role }) => `ALTER ROLE "${role}" WITH REPLICATION;`,
  },
  {
    title: 'the role may not write the generation',
    spoil: ({ role }) => `revoke update on lockstep.epoch from ${role}`,
    check: 'epoch-table',
    remedy: grantEpoch,
  },
  {
    title: 'the role may write the generation, but not use its schema',
    spoil: ({ role }) => `revoke all on schema lockstep from ${role}`,
    check: 'epoch-table',
    remedy: grantEpoch,
  },
  {
    title: 'the role may not create a table in the schema',
    spoil: () => 'drop table lockstep.epoch',
    check: 'epoch-table',
    remedy: ({ role }) => `GRANT USAGE, CREATE ON SCHEMA lockstep TO "${role}";`,
  },
  {
    title: 'the role may create a table in the schema, but not use it',
    spoil: ({ role }) =>
      `drop table lockstep.epoch; grant create on schema lockstep to ${role}; revoke usage on schema lockstep from ${role}`,
    check: 'epoch-table',
    remedy: ({ role }) => `GRANT USAGE, CREATE ON SCHEMA lockstep TO "${role}";`,
  },
  {
    title: 'the role may not create the schema',
    spoil: () => 'drop schema lockstep cascade',
    check: 'epoch-table',
    remedy: ({ role, database }) => `GRANT CREATE ON DATABASE "${database}" TO "${role}";`,
  },
  {
    title: 'the table of generations is of an older version',
    spoil: () => 'alter table lockstep.epoch drop column gaps, drop column confirmable',
    check: 'epoch-table',
    remedy: () =>
      `alter table lockstep.epoch add column if not exists confirmable pg_lsn, add column if not exists gaps timestamptz[] not null default '{}';`,
  },
  {
    title: 'the role may not write messages to the log',
    spoil: (_source, major) => `revoke execute on function ${emit(major)} from public`,
    check: 'functions',
    remedy: ({ role }, major) => `GRANT EXECUTE ON FUNCTION ${emit(major)} TO "${role}";`,
  },
]

const PUBLICATION_FAULTS: readonly Fault[] = [
  {
    title: 'the publication is missing',
    spoil: () => 'drop publication lockstep',
    check: 'publication',
    remedy: () =>
      'CREATE PUBLICATION "lockstep" FOR TABLE "shop"."products", "shop"."orders" WITH (publish_via_partition_root = true); -- as the owner of the tables',
  },
  {
    title: 'the publication carries inserts alone',
    spoil: () => `alter publication lockstep set (publish = 'insert')`,
    check: 'publication-operations',
    remedy: () => `${PUBLICATION} SET (publish = 'insert, update, delete, truncate');`,
  },
  {
    title: 'partitions are published under their own names',
    spoil: () => `${everywhere} alter publication lockstep set (publish_via_partition_root = false)`,
    check: 'publication-root',
    remedy: () => `${PUBLICATION} SET (publish_via_partition_root = true);`,
  },
  {
    title: 'the publication misses a table',
    spoil: () => 'alter publication lockstep drop table shop.products',
    check: 'published',
    remedy: () => `${PUBLICATION} ADD TABLE "shop"."products";`,
  },
  {
    title: 'the publication misses a column of a rule',
    spoil: () => 'alter publication lockstep set table shop.products, shop.orders (total)',
    check: 'published',
    remedy: () => `${PUBLICATION} DROP TABLE "shop"."orders";\n${PUBLICATION} ADD TABLE "shop"."orders" ("id");`,
  },
  {
    title: 'a row filter hides rows',
    spoil: () => 'alter publication lockstep set table shop.products where (id > 10), shop.orders (id)',
    check: 'row-filter',
    remedy: () => `${PUBLICATION} DROP TABLE "shop"."products";\n${PUBLICATION} ADD TABLE "shop"."products";`,
  },
]

const TABLE_FAULTS: readonly Fault[] = [
  {
    title: 'old rows do not carry a column of a rule',
    spoil: () => 'alter table shop.products replica identity default',
    check: 'replica-identity',
    remedy: () =>
      [
        'ALTER TABLE "shop"."products" REPLICA IDENTITY FULL;',
        '-- or, with less WAL per change:',
        '--   CREATE UNIQUE INDEX "products_lockstep" ON "shop"."products" ("id", "category_id");',
        '--   ALTER TABLE "shop"."products" REPLICA IDENTITY USING INDEX "products_lockstep";',
      ].join('\n'),
  },
  {
    title: 'a table logs no old values, though its key is enough',
    spoil: () => 'alter table shop.orders replica identity nothing',
    check: 'replica-identity',
    remedy: () => 'ALTER TABLE "shop"."orders" REPLICA IDENTITY DEFAULT;',
  },
  {
    title: 'a primary key that is deferrable is no identity',
    spoil: () => 'alter table shop.orders drop constraint orders_pkey, add primary key (id) deferrable',
    check: 'replica-identity',
    remedy: () =>
      [
        `${PUBLICATION} DROP TABLE "shop"."orders";`,
        `${PUBLICATION} ADD TABLE "shop"."orders";`,
        'ALTER TABLE "shop"."orders" REPLICA IDENTITY FULL;',
        'ALTER TABLE "shop"."orders_1" REPLICA IDENTITY FULL;',
        'ALTER TABLE "shop"."orders_2" REPLICA IDENTITY FULL;',
      ].join('\n'),
  },
  {
    title: 'one partition logs less than its root',
    spoil: () => 'alter table shop.orders_2 replica identity nothing',
    check: 'partition-identity',
    remedy: () => 'ALTER TABLE "shop"."orders_2" REPLICA IDENTITY DEFAULT;',
  },
  {
    title: 'every partition logs its key alone under a root that logs whole rows',
    spoil: () => `${everywhere} alter table shop.orders replica identity full`,
    check: 'partition-identity',
    remedy: () =>
      'ALTER TABLE "shop"."orders_1" REPLICA IDENTITY FULL;\nALTER TABLE "shop"."orders_2" REPLICA IDENTITY FULL;',
  },
  {
    title: 'one partition logs another index than its root',
    spoil:
      () => `create unique index by_total on shop.orders (id, total); alter table shop.orders alter total set not null;
      alter table shop.orders replica identity using index by_total; ${everywhere}
      alter table shop.orders_2 replica identity using index orders_2_id_total_idx`,
    check: 'partition-identity',
    remedy: () => 'ALTER TABLE "shop"."orders_1" REPLICA IDENTITY USING INDEX "orders_1_id_total_idx";',
  },
  {
    title: 'a table is unlogged',
    spoil: () => `drop publication lockstep; alter table shop.products set unlogged;
      create publication lockstep for all tables with (publish_via_partition_root = true)`,
    check: 'unlogged',
    remedy: () => 'ALTER TABLE "shop"."products" SET LOGGED;',
  },
]

const SLOT_FAULTS: readonly Fault[] = [
  {
    title: 'the slot decodes with another plugin',
    spoil: ({ database }) => `select pg_create_logical_replication_slot('${database}', 'test_decoding')`,
    check: 'slot',
    remedy: other,
  },
  {
    title: 'the slot belongs to nobody, as it is a physical one',
    spoil: ({ database }) => `select pg_create_physical_replication_slot('${database}')`,
    check: 'slot',
    remedy: other,
  },
  {
    title: 'the slot sends what is only prepared',
    spoil: ({ database }) => `select pg_create_logical_replication_slot('${database}', 'pgoutput', false, true)`,
    check: 'slot',
    remedy: dropSlot,
  },
  {
    title: 'there is no slot, and none may be made',
    spoil: () => 'select',
    check: 'slot',
    remedy: ({ database }, major) =>
      `SELECT pg_create_logical_replication_slot('${database}', 'pgoutput'${major >= 17 ? ', failover => true' : ''});\n-- or set LOCKSTEP_CONNECTOR_CREATE_SLOT=true`,
    config: { createSlot: false },
  },
]

describe.each([15, 18] as const)('itest/doctor on PostgreSQL %s', (major) => {
  let server: PostgresServer
  let source: SoundSource
  beforeAll(async () => {
    server = await startPostgres({ major, needs: 'process', settings: SETTINGS })
  })
  afterAll(() => server?.stop())
  beforeEach(async () => {
    source = await soundSource(server)
  })
  afterEach(() => source.close())

  const settle = async (needs: Fault['needs']): Promise<unknown> =>
    needs === 'restart' ? await server.restart() : await source.query('select pg_reload_conf()')
  const applyAny = async ({ remedy }: { remedy: string }): Promise<void> => {
    const slot = /^LOCKSTEP_CONNECTOR_SLOT=(\w+)$/.exec(remedy)?.[1]
    if (slot === undefined) await source.apply(remedy)
    else source.config = { ...source.config, slot }
  }

  test('what --sql prints makes a database that doctor finds sound', async () => {
    expect(await source.findings()).toEqual([])
  })

  test.each([...SERVER_FAULTS, ...ROLE_FAULTS, ...PUBLICATION_FAULTS, ...TABLE_FAULTS, ...SLOT_FAULTS])(
    '$title: this alone is found, and the remedy that is printed mends it',
    async ({ spoil, check, severity = 'error', remedy, needs, config }) => {
      source.config = { ...source.config, ...config }
      for (const statement of spoil(source, major).split(';')) await source.query(statement)
      await settle(needs)
      const [finding] = await source.eventually(1)
      expect(finding).toEqual({ name: check, severity, remedy: remedy(source, major) })
      expect(await source.findings()).toHaveLength(1)
      await applyAny(finding ?? { remedy: '' })
      await settle(needs)
      expect(await source.eventually(0)).toEqual([])
    },
  )
})
