import type { RuleSet, TableRules } from '@lockstep/schemas'
import { advice, found, ok, sql } from './check.ts'
import type { Check, PreflightConfig } from './check.ts'
import type { CatalogFacts } from './ports.ts'
import { quoteName, quoteTable } from './quote.ts'
import {
  deviatingLeaves,
  identityStatements,
  indexAlternative,
  leafStatements,
  missingOldColumns,
  neededColumns,
  publishedTable,
  soundIdentity,
} from './replica-identity.ts'
import type { TableFacts } from './source-facts.ts'

const STORED_GENERATED = 18_00_00

/** One table that exists, and all that it is judged by. */
interface Judged {
  readonly table: TableRules
  readonly known: TableFacts
  readonly facts: CatalogFacts
  readonly config: PreflightConfig
}

/** Judges every table that rules name. */
export function tableChecks(facts: CatalogFacts, rules: RuleSet, config: PreflightConfig): Check[] {
  return [...rules.tables.values()].flatMap((table) => {
    const known = facts.tables.get(table.table)
    if (known === undefined) {
      const remedy = advice('create it or take it out of the rules')
      return [found('table', 'error', `the table ${table.table} does not exist`, remedy)]
    }
    const fault = kindFault(known) ?? partitionFault(known, facts)
    if (fault !== undefined) return [fault]
    const judged: Judged = { table, known, facts, config }
    return [
      columnsCheck(table, known),
      ...generatedCheck(judged),
      publishedCheck(judged),
      ...rowFilterCheck(judged),
      identityCheck(judged),
      ...leavesChecks(table, known),
      ...inheritedCheck(known),
    ]
  })
}

/** What can never be in the change log. */
function kindFault({ name, kind, isUnlogged }: TableFacts): Check | undefined {
  if (kind === 'view' || kind === 'materialized view' || kind === 'foreign table') {
    const remedy = advice(
      kind === 'foreign table' ? 'take it out of the rules' : 'put the tables that it reads into the rules',
    )
    return found('table-kind', 'error', `${name} is a ${kind}: its changes are not in this server's log`, remedy)
  }
  if (!isUnlogged) return undefined
  const remedy = sql(`ALTER TABLE ${quoteTable(name)} SET LOGGED;`)
  return found('unlogged', 'error', `${name} is unlogged: its changes are in no log and reach no cache`, remedy)
}

/** Rows that arrive under another name than rules give. */
function partitionFault({ name, root }: TableFacts, { publication }: CatalogFacts): Check | undefined {
  if (root === null || publication?.viaRoot !== true || !publication.tables.has(root)) return undefined
  const message = `${name} is a partition, and its rows are published as those of ${root}`
  return found('partition', 'error', message, advice(`name ${root} in the rules`))
}

function columnsCheck({ table, columns }: TableRules, known: TableFacts): Check {
  const missing = columns.filter((column) => !known.columns.includes(column))
  if (missing.length === 0) return ok('rule-columns', `${table} has every column that rules name`)
  const remedy = advice('correct the name in the rules, or add the column to the table')
  return found('rule-columns', 'error', `${table} has no column ${missing.join(', ')}`, remedy)
}

function generatedCheck({ table, known, facts, config }: Judged): Check[] {
  const generated = table.columns.filter((column) => known.generatedColumns.includes(column))
  const published = facts.publication?.tables.get(known.name) ?? []
  if (generated.every((column) => published.includes(column))) return []
  const remedy =
    facts.serverVersion >= STORED_GENERATED && facts.publication !== undefined
      ? sql(`ALTER PUBLICATION ${quoteName(config.publication)} SET (publish_generated_columns = stored);`)
      : advice('name in the rules the columns that it is generated from')
  return [
    found(
      'generated-columns',
      'error',
      `${generated.join(', ')} of ${known.name} is generated and not published`,
      remedy,
    ),
  ]
}

function publishedCheck({ table, known, facts, config }: Judged): Check {
  const { publication } = facts
  const name = 'published'
  if (publication === undefined) return ok(name, `${known.name} will be published`)
  if (known.kind === 'partitioned' && !publication.viaRoot)
    return ok(name, `${known.name} is published by its partitions`)
  if (!publication.tables.has(known.name)) {
    const remedy = sql(...republish({ table, known, facts, config }).slice(1))
    return found(name, 'error', `the publication does not carry ${known.name}`, remedy)
  }
  const missing = unpublished(neededColumns(table, known), known, facts)
  if (missing.length === 0) return ok(name, `${known.name} is published`)
  const message = `the publication does not carry the columns ${missing.join(', ')} of ${known.name}`
  return found(name, 'error', message, sql(...republish({ table, known, facts, config })))
}

/** Those of the columns that a list in the publication leaves out. */
function unpublished(columns: readonly string[], { name }: TableFacts, { publication }: CatalogFacts): string[] {
  const published = publication?.tables.get(name) ?? columns
  return columns.filter((column) => !published.includes(column))
}

/** Takes the table out of the publication and puts it back with the columns that its sound identity needs. */
function republish({ table, known, facts, config }: Judged): string[] {
  const alter = `ALTER PUBLICATION ${quoteName(config.publication)}`
  const { serverVersion } = facts
  const anew = publishedTable(table, known, { serverVersion, identity: soundIdentity(table, known) })
  return [`${alter} DROP TABLE ${quoteTable(known.name)};`, `${alter} ADD TABLE ${anew};`]
}

function rowFilterCheck(judged: Judged): Check[] {
  const { name } = judged.known
  if (judged.facts.publication?.filtered.includes(name) !== true) return []
  const message = `a row filter hides rows of ${name} from the caches`
  return [found('row-filter', 'error', message, sql(...republish(judged)))]
}

function identityCheck(judged: Judged): Check {
  const { table, known, facts } = judged
  const name = 'replica-identity'
  // A list that leaves out columns of the new identity would make the application's own UPDATE and DELETE fail.
  const needed = neededColumns(table, known, soundIdentity(table, known))
  const first = unpublished(needed, known, facts).length > 0 ? republish(judged) : []
  const remedy = sql(...first, ...identityStatements(table, known), ...indexAlternative(table, known))
  if (known.identityColumns.length === 0) {
    const isInsertOnly = table.rules.every(({ on }) => !on.has('update') && !on.has('delete'))
    const message = `${table.table} has no replica identity: once published, the application's own UPDATE and DELETE fail`
    return found(name, isInsertOnly ? 'warn' : 'error', message, remedy)
  }
  const missing = missingOldColumns(table, known)
  if (missing.length === 0) return ok(name, `the old rows of ${table.table} carry what rules need`)
  return found(name, 'error', `the old rows of ${table.table} do not carry ${missing.join(', ')}`, remedy)
}

const list = (items: readonly { readonly name: string }[]): string => items.map(({ name }) => name).join(', ')

function leavesChecks(table: TableRules, known: TableFacts): Check[] {
  if (known.kind !== 'partitioned') return []
  const checks: Check[] = []
  const message = `${known.name} is partitioned: TRUNCATE, ATTACH and DETACH of a single partition are not published`
  checks.push(found('partitioned', 'info', message, advice('invalidate its classes by hand after such a step')))
  const silent = known.leaves.filter(({ isForeign, isUnlogged }) => isForeign || isUnlogged)
  if (silent.length > 0) {
    const unlogged = silent.filter(({ isForeign }) => !isForeign)
    const remedy =
      unlogged.length === silent.length
        ? sql(...unlogged.map(({ name }) => `ALTER TABLE ${quoteTable(name)} SET LOGGED;`))
        : advice(`detach ${list(silent)}, or take ${known.name} out of the rules`)
    const what = `the partitions ${list(silent)} are unlogged or foreign: their changes reach no cache`
    checks.push(found('partition-kind', 'error', what, remedy))
  }
  // A root without a sound identity of its own has a finding already, whose remedy mends the partitions as well.
  if (soundIdentity(table, known) !== known) return checks
  const deviating = deviatingLeaves(
    known,
    known.leaves.filter((leaf) => !silent.includes(leaf)),
  )
  if (deviating.length === 0)
    return [...checks, ok('partition-identity', `the partitions of ${known.name} log what it does`)]
  const what = `the partitions ${list(deviating)} log other old values than ${known.name}`
  return [...checks, found('partition-identity', 'error', what, sql(...leafStatements(known, deviating)))]
}

function inheritedCheck({ name, children }: TableFacts): Check[] {
  if (children.length === 0) return []
  const message = `rows of ${children.join(', ')}, which inherit from ${name}, arrive under their own names`
  return [found('inherited', 'warn', message, advice(`name ${children.join(', ')} in the rules too`))]
}
