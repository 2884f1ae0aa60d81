import type { RuleSet, TableRules } from '@lockstep/schemas'
import { check, ok } from './check.ts'
import type { Check, PreflightConfig } from './check.ts'
import type { CatalogFacts, TableFacts } from './ports.ts'

/** Judges every table that rules name. */
export function tableChecks(facts: CatalogFacts, rules: RuleSet, config: PreflightConfig): Check[] {
  return [...rules.tables.values()].flatMap((table) => {
    const found = facts.tables.get(table.table)
    if (found === undefined) {
      const remedy = 'create it or take it out of the rules'
      return [{ name: 'table', severity: 'error', message: `the table ${table.table} does not exist`, remedy } as const]
    }
    return [
      columnsCheck(table, found),
      publishedCheck(table, facts, config),
      ...rowFilterCheck(table, facts, config),
      ownerCheck(table, facts),
      identityCheck(table, found),
      ...kindChecks(table, found),
    ]
  })
}

function columnsCheck({ table, columns }: TableRules, found: TableFacts): Check {
  const missing = columns.filter((column) => !found.columns.includes(column))
  return check('rule-columns', missing.length === 0, `${table} has every column that rules name`, {
    severity: 'error',
    message: `${table} has no column ${missing.join(', ')}`,
    remedy: 'correct the name in the rules, or add the column to the table',
  })
}

function publishedCheck(table: TableRules, { publication }: CatalogFacts, config: PreflightConfig): Check {
  const name = 'published'
  if (publication === undefined) return ok(name, `${table.table} will be published`)
  const published = publication.tables.get(table.table)
  const quoted = quoteTable(table.table)
  if (published === undefined) {
    const remedy = `ALTER PUBLICATION "${config.publication}" ADD TABLE ${quoted};`
    return { name, severity: 'error', message: `the publication does not carry ${table.table}`, remedy }
  }
  const missing = published === null ? [] : table.columns.filter((column) => !published.includes(column))
  return check(name, missing.length === 0, `${table.table} is published`, {
    severity: 'error',
    message: `the publication does not carry the columns ${missing.join(', ')} of ${table.table}`,
    remedy: `ALTER PUBLICATION "${config.publication}" DROP TABLE ${quoted}, then ADD TABLE ${quoted};`,
  })
}

function rowFilterCheck({ table }: TableRules, { publication }: CatalogFacts, config: PreflightConfig): Check[] {
  if (publication === undefined || !publication.filtered.includes(table)) return []
  const quoted = quoteTable(table)
  const remedy = `ALTER PUBLICATION "${config.publication}" DROP TABLE ${quoted}, then ADD TABLE ${quoted};`
  return [
    { name: 'row-filter', severity: 'error', message: `a row filter hides rows of ${table} from the caches`, remedy },
  ]
}

function ownerCheck({ table }: TableRules, facts: CatalogFacts): Check {
  const isNeeded = facts.publication === undefined
  return check('owner', !isNeeded || facts.tables.get(table)?.isOwned === true, `${table} may be published`, {
    severity: 'error',
    message: `the role ${facts.role} does not own ${table} and may not publish it`,
    remedy: `ALTER TABLE ${quoteTable(table)} OWNER TO "${facts.role}"; or create the publication as the owner`,
  })
}

function identityCheck(table: TableRules, found: TableFacts): Check {
  const name = 'replica-identity'
  const full = `ALTER TABLE ${quoteTable(table.table)} REPLICA IDENTITY FULL;`
  if (found.identityColumns.length === 0) {
    const isInsertOnly = table.rules.every(({ on }) => !on.has('update') && !on.has('delete'))
    const message = `${table.table} has no replica identity: once published, the application's own UPDATE and DELETE fail`
    const remedy = `add a primary key, or ${full}`
    return { name, severity: isInsertOnly ? 'warn' : 'error', message, remedy }
  }
  const missing = table.oldColumns.filter((column) => !found.identityColumns.includes(column))
  return check(name, missing.length === 0, `the old rows of ${table.table} carry what rules need`, {
    severity: 'error',
    message: `the old rows of ${table.table} do not carry ${missing.join(', ')}`,
    remedy: `${full} or REPLICA IDENTITY USING INDEX with a unique index over ${table.oldColumns.join(', ')}`,
  })
}

function kindChecks({ table }: TableRules, found: TableFacts): Check[] {
  const checks: Check[] = []
  if (found.isUnlogged) {
    const message = `${table} is unlogged: its changes are in no WAL and reach no cache`
    checks.push({ name: 'unlogged', severity: 'warn', message, remedy: `ALTER TABLE ${quoteTable(table)} SET LOGGED;` })
  }
  if (found.isPartitioned) {
    const message = `${table} is partitioned: TRUNCATE, ATTACH and DETACH of a single partition are not published`
    checks.push({
      name: 'partitioned',
      severity: 'warn',
      message,
      remedy: 'invalidate its classes by hand after such a step',
    })
  }
  return checks
}

/** Quotes `schema.table` for SQL. */
export function quoteTable(table: string): string {
  const dot = table.indexOf('.')
  return [table.slice(0, dot), table.slice(dot + 1)].map(quoteName).join('.')
}

/** Quotes one name for SQL. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
