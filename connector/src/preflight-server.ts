import { advice, found, ok, sql } from './check.ts'
import type { Check, Remedy } from './check.ts'
import type { CatalogFacts } from './ports.ts'
import { quoteName, quoteText } from './quote.ts'
import type { LongTransaction } from './source-facts.ts'

// Below this the server gives up a walsender after one slow network moment; CloudNativePG's default is just this.
const SHORT_SENDER_TIMEOUT_MS = 5_000

/** Judges the server: its version, its settings and what runs on it. */
export function serverChecks(facts: CatalogFacts): Check[] {
  const major = Math.floor(facts.serverVersion / 10_000)
  return [
    major >= 14
      ? ok('server-version', `PostgreSQL ${major}`)
      : found('server-version', 'error', `PostgreSQL ${major} is too old`, advice('upgrade to 14 or newer')),
    facts.isInRecovery
      ? found(
          'primary',
          'error',
          'the server is a standby, whose snapshots do not tell what is visible',
          advice('connect to the primary'),
        )
      : ok('primary', 'the server is a primary'),
    walLevelCheck(facts),
    slotWalSizeCheck(facts),
    senderTimeoutCheck(facts),
    ...idleTimeoutCheck(facts),
    standbysCheck(facts),
    ...longTransactionChecks(facts),
  ]
}

/** Sets a server setting by SQL; managed services refuse ALTER SYSTEM and have a setting of their own. */
export function setting({ server }: CatalogFacts, name: string, value: string, needsRestart = false): Remedy {
  if (server.provider !== undefined) {
    const where = {
      rds: `set ${name === 'wal_level' ? 'rds.logical_replication = 1' : `${name} = ${value}`} in its parameter group`,
      cloudsql: `set the flag ${name === 'wal_level' ? 'cloudsql.logical_decoding = on' : `${name} = ${value}`}`,
      azure: `set the server parameter ${name} = ${value}`,
    }[server.provider]
    return advice(needsRestart ? `${where} and restart the server` : where)
  }
  const alter = `ALTER SYSTEM SET ${name} = ${value};`
  return needsRestart ? sql(`${alter} -- then restart the server`) : sql(alter, 'SELECT pg_reload_conf();')
}

function walLevelCheck(facts: CatalogFacts): Check {
  if (facts.walLevel === 'logical') return ok('wal-level', 'wal_level is logical')
  return found('wal-level', 'error', `wal_level is ${facts.walLevel}`, setting(facts, 'wal_level', 'logical', true))
}

function slotWalSizeCheck(facts: CatalogFacts): Check {
  const name = 'slot-wal-size'
  if (facts.maxSlotWalKeepMb !== -1) return ok(name, 'max_slot_wal_keep_size bounds the WAL that a slot retains')
  const message = 'max_slot_wal_keep_size is unlimited: a stopped connector fills the disk'
  return found(name, 'warn', message, setting(facts, 'max_slot_wal_keep_size', "'50GB'"))
}

function senderTimeoutCheck(facts: CatalogFacts): Check {
  const name = 'sender-timeout'
  const timeoutMs = Number(facts.server.settings.wal_sender_timeout)
  if (timeoutMs === 0) {
    const message = 'wal_sender_timeout is 0: the server keeps the slot for a connector that is long dead'
    return found(name, 'warn', message, setting(facts, 'wal_sender_timeout', "'60s'"))
  }
  const message = `wal_sender_timeout is ${timeoutMs} ms`
  return timeoutMs < SHORT_SENDER_TIMEOUT_MS
    ? found(name, 'info', `${message}: a short pause of the network ends the stream, which then resumes`)
    : ok(name, message)
}

function idleTimeoutCheck({ server }: CatalogFacts): Check[] {
  const name = 'idle-slot-timeout'
  const seconds = server.settings.idle_replication_slot_timeout
  if (seconds === '') return []
  if (seconds === '0') return [ok(name, 'an idle slot is kept')]
  const message = `idle_replication_slot_timeout is ${seconds} s: a connector away for longer flushes every layer on return`
  return [found(name, 'info', message)]
}

function standbysCheck({ synchronousStandbys }: CatalogFacts): Check {
  const name = 'synchronous-standbys'
  if (synchronousStandbys === '') return ok(name, 'no synchronous standby')
  const message = 'synchronous standbys are set: while one is missing, commits stay invisible and wait at the gate'
  return found(name, 'info', message)
}

function longTransactionChecks({ server, role }: CatalogFacts): Check[] {
  const name = 'long-transactions'
  const long = server.longTransactions.map((transaction) => {
    const { pid, gid, database, openSeconds } = transaction
    const who = pid === null ? `prepared transaction ${gid}` : `transaction of process ${pid}`
    const message = `a ${who} in ${database} is open for ${Math.round(openSeconds / 60)} min: it holds up a new slot and retains WAL`
    return found(name, 'warn', message, endOf(transaction))
  })
  if (long.length > 0) return long
  if (server.seesAllSessions) return [ok(name, 'no transaction is open for long')]
  const message = `the role ${role} does not see since when others' transactions are open`
  return [found(name, 'info', message, sql(`GRANT pg_read_all_stats TO ${quoteName(role)}; -- only for this check`))]
}

function endOf({ pid, gid, database }: LongTransaction): Remedy {
  if (pid !== null) return sql(`SELECT pg_terminate_backend(${pid}); -- or let it end`)
  return sql(`ROLLBACK PREPARED ${quoteText(gid ?? '')}; -- or COMMIT PREPARED, in the database ${database}`)
}

/** Judges the way to the server: SQL and replication must reach the same one. */
export function connectionChecks(facts: CatalogFacts): Check[] {
  const { sql: direct, replication, server } = facts
  const checks: Check[] = []
  if (typeof replication === 'string') {
    // Without the right or a sender the refusal is known by that name.
    if (facts.mayReplicate && hasSender(facts)) checks.push(refusedReplication(facts, replication))
  } else {
    const isSame = direct.systemId === replication.systemId && direct.timeline === replication.timeline
    const message = 'SQL and replication connections reach different servers'
    const remedy = advice('connect to the primary itself, without a pooler or a balancer')
    checks.push(
      isSame
        ? ok('same-server', 'SQL and replication reach the same server')
        : found('same-server', 'error', message, remedy),
    )
    if (server.isPooled) checks.push(found('pooler', 'warn', 'a pooler or proxy stands before the server', NO_POOLER))
  }
  return checks
}

/** Whether a walsender is left, or the slot has one already. */
export const hasSender = ({ freeSenders, slot }: CatalogFacts): boolean => freeSenders > 0 || slot?.isActive === true

const NO_POOLER = advice(
  'put host and port of the primary itself into the URL of the database, not those of the pooler',
)

function refusedReplication({ server, role }: CatalogFacts, reason: string): Check {
  const name = 'replication-connection'
  const message = `a replication connection is refused: ${reason}`
  if (server.isPooled) return found('pooler', 'error', `a pooler stands before the server, and ${message}`, NO_POOLER)
  if (/too many connections for role/.test(reason))
    return found(name, 'error', message, sql(`ALTER ROLE ${quoteName(role)} CONNECTION LIMIT -1;`))
  return found(name, 'error', message, advice('allow the role and the database for this host in pg_hba.conf'))
}
