import { LockstepError } from '@lockstep/runtime'
import type { RuleSet } from '@lockstep/schemas'
import { check, ok } from './check.ts'
import type { Check, PreflightConfig } from './check.ts'
import type { Catalog, CatalogFacts } from './ports.ts'
import { quoteName, quoteTable, tableChecks } from './preflight-tables.ts'

const DATABASE_REMEDY =
  'check that the server runs, and the host, port, role, password and database in the URL of the database'

/** Reads the catalog and judges it. An unreachable database is a finding, not a rejection. */
export async function runPreflight(
  catalog: Pick<Catalog, 'facts'>,
  rules: RuleSet,
  config: PreflightConfig,
): Promise<Check[]> {
  let facts: CatalogFacts
  try {
    facts = await catalog.facts([...rules.tables.keys()])
  } catch (error) {
    const message = `the database cannot be asked: ${reasonOf(error)}`
    return [{ name: 'reachable', severity: 'error', message, remedy: DATABASE_REMEDY }]
  }
  return judgeFacts(facts, rules, config)
}

/** What the server or the network said, without the remedy of a running connector, which is another one. */
function reasonOf(error: unknown): string {
  if (error instanceof LockstepError && typeof error.context.state === 'string') return error.context.state
  return error instanceof Error ? error.message : String(error)
}

/** Judges what the catalog said: one check per property and per table. */
export function judgeFacts(facts: CatalogFacts, rules: RuleSet, config: PreflightConfig): Check[] {
  return [
    ok('reachable', 'the database answers'),
    ...serverChecks(facts),
    ...identityChecks(facts),
    ...slotChecks(facts, config),
    ...publicationChecks(facts, rules, config),
    ...tableChecks(facts, rules, config),
  ]
}

const error = (message: string, remedy: string) => ({ severity: 'error', message, remedy }) as const
const warn = (message: string, remedy: string) => ({ severity: 'warn', message, remedy }) as const

const createRight = ({ database, role }: CatalogFacts): string =>
  `GRANT CREATE ON DATABASE ${quoteName(database)} TO ${quoteName(role)};`

function serverChecks(facts: CatalogFacts): Check[] {
  const major = Math.floor(facts.serverVersion / 10_000)
  return [
    check(
      'server-version',
      major >= 14,
      `PostgreSQL ${major}`,
      error(`PostgreSQL ${major} is too old`, 'upgrade to 14 or newer'),
    ),
    check(
      'wal-level',
      facts.walLevel === 'logical',
      'wal_level is logical',
      error(`wal_level is ${facts.walLevel}`, 'ALTER SYSTEM SET wal_level = logical; then restart the server'),
    ),
    check(
      'primary',
      !facts.isInRecovery,
      'the server is a primary',
      error('the server is a standby, whose snapshots do not tell what is visible', 'connect to the primary'),
    ),
    check(
      'epoch-table',
      facts.hasEpochTable || facts.mayCreate,
      'the table lockstep.epoch exists or may be created',
      error(`the role ${facts.role} may not create the schema lockstep`, createRight(facts)),
    ),
    check(
      'slot-wal-size',
      facts.maxSlotWalKeepMb !== -1,
      'max_slot_wal_keep_size bounds the WAL that a slot retains',
      warn(
        'max_slot_wal_keep_size is unlimited: a stopped connector fills the disk',
        "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();",
      ),
    ),
    facts.synchronousStandbys === ''
      ? ok('synchronous-standbys', 'no synchronous standby')
      : {
          name: 'synchronous-standbys',
          severity: 'info',
          message: 'synchronous standbys are set: while one is missing, commits stay invisible and wait at the gate',
          remedy: '',
        },
  ]
}

function identityChecks(facts: CatalogFacts): Check[] {
  const { sql, replication } = facts
  const right = error(
    `the role ${facts.role} may not replicate`,
    `ALTER ROLE ${quoteName(facts.role)} WITH REPLICATION; on Amazon RDS: GRANT rds_replication TO ${quoteName(facts.role)};`,
  )
  const checks = [check('replication-right', facts.mayReplicate, `the role ${facts.role} may replicate`, right)]
  if (typeof replication === 'string') {
    if (facts.mayReplicate)
      checks.push({
        name: 'replication-connection',
        ...error(
          `a replication connection is refused: ${replication}`,
          'connect without a pooler and check pg_hba.conf',
        ),
      })
    return checks
  }
  const isSame = sql.systemId === replication.systemId && sql.timeline === replication.timeline
  checks.push(
    check(
      'same-server',
      isSame,
      'SQL and replication reach the same server',
      error(
        'SQL and replication connections reach different servers',
        'connect to the primary without a pooler or a balancer',
      ),
    ),
  )
  return checks
}

function slotChecks(facts: CatalogFacts, config: PreflightConfig): Check[] {
  const { slot, freeSlots, freeSenders } = facts
  const create = `SELECT pg_create_logical_replication_slot('${config.slot}', 'pgoutput'); or set LOCKSTEP_CONNECTOR_CREATE_SLOT=true`
  const checks: Check[] = []
  if (slot === undefined) {
    checks.push(
      check(
        'slot',
        config.createSlot,
        'the slot will be created',
        error(`the slot ${config.slot} does not exist`, create),
      ),
      check(
        'free-slot',
        freeSlots > 0,
        `${freeSlots} replication slots are free`,
        error('no replication slot is free', 'raise max_replication_slots and restart, or drop an unused slot'),
      ),
    )
  } else if (slot.plugin !== 'pgoutput') {
    checks.push({
      name: 'slot',
      ...error(`the slot ${config.slot} uses ${slot.plugin}`, 'choose another name with LOCKSTEP_CONNECTOR_SLOT'),
    })
  } else if (slot.isLost) {
    checks.push(
      check(
        'slot',
        config.createSlot,
        'the slot is lost and will be made anew',
        error(`the slot ${config.slot} is lost`, create),
      ),
    )
  } else {
    checks.push(ok('slot', slot.isActive ? 'the slot is in use by another connection' : 'the slot exists'))
  }
  // A slot in use has its sender already.
  const hasSender = freeSenders > 0 || slot?.isActive === true
  const full = error('no WAL sender is free', 'raise max_wal_senders and restart the server')
  return [...checks, check('free-sender', hasSender, `${freeSenders} WAL senders are free`, full)]
}

function createPublication(name: string, rules: RuleSet): string {
  const tables = [...rules.tables.keys()].map(quoteTable).join(', ')
  return `CREATE PUBLICATION ${quoteName(name)} FOR TABLE ${tables} WITH (publish_via_partition_root = true);`
}

function publicationChecks(facts: CatalogFacts, rules: RuleSet, config: PreflightConfig): Check[] {
  const { publication } = facts
  if (publication === undefined) {
    const bad = config.createPublication
      ? error(`the role ${facts.role} may not create the publication`, createRight(facts))
      : error(
          `the publication ${config.publication} does not exist`,
          `${createPublication(config.publication, rules)} or set LOCKSTEP_CONNECTOR_CREATE_PUBLICATION=true`,
        )
    const mayCreate = config.createPublication && facts.mayCreate
    return [check('publication', mayCreate, 'the publication will be created', bad)]
  }
  const alter = `ALTER PUBLICATION "${config.publication}" SET`
  const operations = ['insert', 'update', 'delete', 'truncate'] as const
  const missing = operations.filter((operation) => !publication.publishes.has(operation))
  return [
    ok('publication', 'the publication exists'),
    check(
      'publication-operations',
      missing.length === 0,
      'the publication carries every operation',
      error(
        `the publication does not carry ${missing.join(', ')}`,
        `${alter} (publish = 'insert, update, delete, truncate');`,
      ),
    ),
    check(
      'publication-root',
      publication.viaRoot,
      'partitions are published as their root',
      warn('partitions are published under their own names', `${alter} (publish_via_partition_root = true);`),
    ),
  ]
}
