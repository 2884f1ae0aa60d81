import type { RuleSet, TableRules } from '@lockstep/schemas'
import { CREATE_EPOCH_TABLE, UPGRADE_EPOCH_TABLE } from './adapters/epoch-store.ts'
import type { PreflightConfig } from './check.ts'
import type { CatalogFacts } from './ports.ts'
import { grantExecute, grantReplication } from './preflight-role.ts'
import { createSlot } from './preflight-slot.ts'
import { quoteName, quoteText } from './quote.ts'
import { identityStatements, indexAlternative, publishedTable, soundIdentity } from './replica-identity.ts'

// A connector holds three connections and a checking doctor two; this leaves room for a standby and a deploy.
const CONNECTION_LIMIT = 16

/** What the statements are made for. */
export interface SourceSqlOptions {
  readonly facts: CatalogFacts
  readonly rules: RuleSet
  readonly config: PreflightConfig
  /** The role that the connector is to have. */
  readonly role: string
}

/**
 * Prints what makes a database ready for a connector with as few rights as it can have: role, schema, replica identities,
 * publication. May be run again at any time. Settings of the server are not in it; preflight names those.
 */
export function sourceSql(options: SourceSqlOptions): string {
  const { facts, role } = options
  const lines = [
    `-- Makes the database ${facts.database} ready for Lockstep; run it as a superuser or as the owner of the tables.`,
    '-- It may be run again. `lockstep doctor` with the new role checks the result.',
    'BEGIN;',
    '-- Fails rather than queues up the application behind a long transaction.',
    "SET LOCAL lock_timeout = '5s';",
    '',
    ...roleStatements(options),
    '',
    ...schemaStatements(role),
    '',
    ...[...options.rules.tables.values()].flatMap((table) => tableStatements(table, facts)),
    '',
    ...publicationStatements(options),
    'COMMIT;',
    '',
    ...slotStatements(options),
  ]
  return `${lines.join('\n')}\n`
}

function roleStatements({ facts, role }: SourceSqlOptions): string[] {
  const { provider, restricted } = facts.server
  // On RDS the right comes by membership, and only a superuser may name these attributes.
  const attributes =
    provider === undefined
      ? `NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOINHERIT CONNECTION LIMIT ${CONNECTION_LIMIT}`
      : `CONNECTION LIMIT ${CONNECTION_LIMIT}`
  return [
    '-- The role: it may replicate, which lets it read the whole log, and needs no SELECT on any table.',
    '-- Give it a password of its own: \\password in psql.',
    'DO $lockstep$ BEGIN',
    `  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ${quoteText(role)}) THEN`,
    `    CREATE ROLE ${quoteName(role)} LOGIN ${attributes};`,
    '  END IF;',
    'END $lockstep$;',
    grantReplication(role, provider),
    `GRANT CONNECT ON DATABASE ${quoteName(facts.database)} TO ${quoteName(role)};`,
    ...restricted.map(({ signature }) => grantExecute(signature, role)),
  ]
}

function schemaStatements(role: string): string[] {
  return [
    '-- Where the generation of the caches is kept: the only thing that the role may write.',
    'CREATE SCHEMA IF NOT EXISTS lockstep;',
    `${CREATE_EPOCH_TABLE};`,
    `${UPGRADE_EPOCH_TABLE};`,
    `GRANT USAGE ON SCHEMA lockstep TO ${quoteName(role)};`,
    `GRANT SELECT, INSERT, UPDATE ON lockstep.epoch TO ${quoteName(role)};`,
  ]
}

function tableStatements(table: TableRules, { tables }: CatalogFacts): string[] {
  const known = tables.get(table.table)
  if (known === undefined) return [`-- ${table.table} does not exist.`]
  const statements = identityStatements(table, known)
  if (statements.length === 0) return [`-- ${table.table}: its old rows carry what rules need.`]
  const needs = `-- ${table.table}: rules need the old values of ${table.oldColumns.join(', ')}.`
  return [table.oldColumns.length === 0 ? `-- ${table.table}` : needs, ...statements, ...indexAlternative(table, known)]
}

function publicationStatements({ facts, rules, config }: SourceSqlOptions): string[] {
  const name = quoteName(config.publication)
  const tables = [...rules.tables.values()].flatMap((table) => {
    const known = facts.tables.get(table.table)
    if (known === undefined) return []
    const { serverVersion } = facts
    return [publishedTable(table, known, { serverVersion, identity: soundIdentity(table, known) })]
  })
  const options = `publish = 'insert, update, delete, truncate', publish_via_partition_root = true`
  const isForAllTables = facts.publication?.isForAllTables === true
  return [
    '-- The publication: the tables of the rules alone, of these the columns that are needed, and no row filter.',
    'DO $lockstep$ BEGIN',
    `  IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = ${quoteText(config.publication)}) THEN`,
    `    CREATE PUBLICATION ${name};`,
    '  END IF;',
    'END $lockstep$;',
    `ALTER PUBLICATION ${name} SET (${options});`,
    ...(isForAllTables ? [`-- ${config.publication} is FOR ALL TABLES: it works, and sends more than is needed.`] : []),
    ...(isForAllTables || tables.length === 0 ? [] : [`ALTER PUBLICATION ${name} SET TABLE ${tables.join(', ')};`]),
  ]
}

function slotStatements({ facts, config }: SourceSqlOptions): string[] {
  if (config.createSlot)
    return [`-- The slot: the connector makes it at its first start, under the name ${config.slot}.`]
  return [
    '-- The slot: after the publication, and outside its transaction.',
    createSlot(config, facts).replace(
      ';',
      ` WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = ${quoteText(config.slot)});`,
    ),
  ]
}
