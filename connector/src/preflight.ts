import { LockstepError } from '@lockstep/runtime'
import type { RuleSet } from '@lockstep/schemas'
import { advice, found, ok } from './check.ts'
import type { Check, PreflightConfig } from './check.ts'
import type { Catalog, CatalogFacts } from './ports.ts'
import { publicationChecks } from './preflight-publication.ts'
import { roleChecks } from './preflight-role.ts'
import { connectionChecks, serverChecks } from './preflight-server.ts'
import { slotChecks } from './preflight-slot.ts'
import { tableChecks } from './preflight-tables.ts'

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
    return [found('reachable', 'error', message, advice(DATABASE_REMEDY))]
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
    ...connectionChecks(facts),
    ...roleChecks(facts),
    ...slotChecks(facts, config),
    ...publicationChecks(facts, rules, config),
    ...tableChecks(facts, rules, config),
  ]
}
