import type { RuleSet } from '@lockstep/schemas'
import { found, ok, sql } from './check.ts'
import type { Check, PreflightConfig } from './check.ts'
import type { CatalogFacts, PublicationFacts } from './ports.ts'
import { quoteName, quoteTable } from './quote.ts'

const OPERATIONS = ['insert', 'update', 'delete', 'truncate'] as const

/** Judges the publication as a whole; its tables are judged one by one. */
export function publicationChecks(facts: CatalogFacts, rules: RuleSet, config: PreflightConfig): Check[] {
  const { publication } = facts
  if (publication === undefined) return [missingCheck(facts, rules, config)]
  return [
    ok('publication', 'the publication exists'),
    operationsCheck(publication, config),
    rootCheck(facts, publication, config),
  ]
}

function missingCheck({ role, mayCreate, tables }: CatalogFacts, rules: RuleSet, config: PreflightConfig): Check {
  const name = 'publication'
  const list = [...rules.tables.keys()].map(quoteTable).join(', ')
  const create = `CREATE PUBLICATION ${quoteName(config.publication)} FOR TABLE ${list} WITH (publish_via_partition_root = true);`
  if (!config.createPublication) {
    const remedy = sql(create, '-- or set LOCKSTEP_CONNECTOR_CREATE_PUBLICATION=true')
    return found(name, 'error', `the publication ${config.publication} does not exist`, remedy)
  }
  const foreign = [...tables.values()].filter(({ isOwned }) => !isOwned).map((table) => table.name)
  if (mayCreate && foreign.length === 0) return ok(name, 'the publication will be created')
  const why = foreign.length > 0 ? `does not own ${foreign.join(', ')}` : 'may create nothing in this database'
  const message = `the role ${role} may not create the publication: it ${why}`
  return found(name, 'error', message, sql(`${create} -- as the owner of the tables`))
}

function operationsCheck(publication: PublicationFacts, config: PreflightConfig): Check {
  const name = 'publication-operations'
  const missing = OPERATIONS.filter((operation) => !publication.publishes.has(operation))
  if (missing.length === 0) return ok(name, 'the publication carries every operation')
  const alter = `ALTER PUBLICATION ${quoteName(config.publication)} SET (publish = '${OPERATIONS.join(', ')}');`
  return found(name, 'error', `the publication does not carry ${missing.join(', ')}`, sql(alter))
}

function rootCheck({ tables }: CatalogFacts, publication: PublicationFacts, config: PreflightConfig): Check {
  const name = 'publication-root'
  if (publication.viaRoot) return ok(name, 'partitions are published as their root')
  const alter = `ALTER PUBLICATION ${quoteName(config.publication)} SET (publish_via_partition_root = true);`
  const roots = [...tables.values()].filter(({ kind }) => kind === 'partitioned').map((table) => table.name)
  return roots.length > 0
    ? found(name, 'error', `the partitions of ${roots.join(', ')} are published under their own names`, sql(alter))
    : found(name, 'warn', 'partitions are published under their own names', sql(alter))
}
