import { UPGRADE_EPOCH_TABLE } from './adapters/epoch-store.ts'
import { advice, found, ok, sql } from './check.ts'
import type { Check } from './check.ts'
import type { CatalogFacts } from './ports.ts'
import { quoteName } from './quote.ts'
import type { Provider } from './source-facts.ts'

/** Judges what the role may do, and whether it may do too much. */
export function roleChecks(facts: CatalogFacts): Check[] {
  return [superuserCheck(facts), replicationCheck(facts), epochTableCheck(facts), functionsCheck(facts)]
}

/** The right to replicate, as each service grants it. */
export function grantReplication(role: string, provider: Provider | undefined): string {
  return provider === 'rds'
    ? `GRANT rds_replication TO ${quoteName(role)};`
    : `ALTER ROLE ${quoteName(role)} WITH REPLICATION;`
}

function superuserCheck({ role, server }: CatalogFacts): Check {
  if (!server.isSuperuser) return ok('superuser', `the role ${role} is no superuser`)
  const message = `the role ${role} is a superuser: its password opens everything`
  return found('superuser', 'warn', message, advice('connect as the role that `lockstep doctor --sql` makes'))
}

function replicationCheck({ role, mayReplicate, server }: CatalogFacts): Check {
  if (mayReplicate) return ok('replication-right', `the role ${role} may replicate`)
  const message = `the role ${role} may not replicate`
  return found('replication-right', 'error', message, sql(grantReplication(role, server.provider)))
}

function epochTableCheck({ role, database, mayCreate, server }: CatalogFacts): Check {
  const name = 'epoch-table'
  const to = `TO ${quoteName(role)};`
  if (server.epochTable === 'granted') return ok(name, 'the table lockstep.epoch may be used')
  if (server.epochTable === 'outdated') {
    const message = `lockstep.epoch is of an older version, and the role ${role} does not own it`
    return found(name, 'error', message, sql(`${UPGRADE_EPOCH_TABLE};`))
  }
  if (server.epochTable === 'denied') {
    const grants = [`GRANT USAGE ON SCHEMA lockstep ${to}`, `GRANT SELECT, INSERT, UPDATE ON lockstep.epoch ${to}`]
    return found(name, 'error', `the role ${role} may not read and write lockstep.epoch`, sql(...grants))
  }
  if (server.schema === 'granted' || (server.schema === 'absent' && mayCreate))
    return ok(name, 'the table lockstep.epoch will be created')
  if (server.schema === 'denied') {
    const grant = `GRANT USAGE, CREATE ON SCHEMA lockstep ${to}`
    return found(name, 'error', `the role ${role} may not create a table in the schema lockstep`, sql(grant))
  }
  const grant = `GRANT CREATE ON DATABASE ${quoteName(database)} ${to}`
  return found(name, 'error', `the role ${role} may not create the schema lockstep`, sql(grant))
}

function functionsCheck({ role, server }: CatalogFacts): Check {
  const denied = server.restricted.filter(({ mayExecute }) => !mayExecute).map(({ signature }) => signature)
  if (denied.length === 0) return ok('functions', 'every function that the connector calls may be executed')
  const message = `the role ${role} may not execute ${denied.join(', ')}`
  return found('functions', 'error', message, sql(...denied.map((signature) => grantExecute(signature, role))))
}

/** The right to call a function. */
export const grantExecute = (signature: string, role: string): string =>
  `GRANT EXECUTE ON FUNCTION ${signature} TO ${quoteName(role)};`
