import { checkSource, CONNECTOR_CONFIG, prepareSql, type Check, type ConnectorConfig } from '@lockstep/connector'
import { loadConfig, type ConfigOf, type ConfigTable } from '@lockstep/runtime'
import { describeRules } from '@lockstep/schemas'
import { Type } from 'typebox'
import { readRules } from '../embedded/rules-file.ts'
import { environment } from '../environment.ts'
import { COMMANDS } from '../commands.ts'
import type { Command } from '../help.ts'
import { reportFailure } from '../human-log.ts'
import { answersQuestion } from '../service-command.ts'
import { DEV_OPTIONS } from './dev.ts'

/** Options of `lockstep doctor`. */
export const DOCTOR_OPTIONS = {
  databaseUrl: DEV_OPTIONS.databaseUrl,
  rules: DEV_OPTIONS.rules,
  namespace: DEV_OPTIONS.namespace,
  slot: CONNECTOR_CONFIG.slot,
  publication: CONNECTOR_CONFIG.publication,
  createSlot: CONNECTOR_CONFIG.createSlot,
  failoverSlot: CONNECTOR_CONFIG.failoverSlot,
  createPublication: CONNECTOR_CONFIG.createPublication,
  json: { env: 'LOCKSTEP_DOCTOR_JSON', type: Type.Boolean(), default: false, desc: 'Print one JSON document.' },
  strict: { env: 'LOCKSTEP_DOCTOR_STRICT', type: Type.Boolean(), default: false, desc: 'Exit 2 on warnings.' },
  sql: {
    env: 'LOCKSTEP_DOCTOR_SQL',
    type: Type.Boolean(),
    default: false,
    desc: 'Instead of checking, print the SQL for role, schema, replica identities and publication.',
  },
  role: {
    env: 'LOCKSTEP_DOCTOR_ROLE',
    type: Type.String({ minLength: 1, maxLength: 63 }),
    default: 'lockstep',
    desc: 'Role that --sql makes for the connector.',
  },
} as const satisfies ConfigTable

const MARKS = { ok: 'ok   ', info: 'info ', warn: 'warn ', error: 'ERROR' } as const
const REMEDY_COLUMN = 31
// Errors as of any command; warnings on request only, because the defaults of Postgres bring some. 78 stays with a
// broken configuration of the command itself.
const EXIT_ERRORS = 1
const EXIT_WARNINGS = 2

/** `lockstep doctor`: changes nothing. Exits 1 when something would keep the connector from starting. */
export const command: Command = {
  async run(argv) {
    if (answersQuestion('doctor --database-url URL --rules FILE', COMMANDS.doctor.summary, DOCTOR_OPTIONS, argv)) return
    try {
      const options = loadConfig(DOCTOR_OPTIONS, {
        env: environment,
        argv: argv.filter((word) => word !== '--check'),
      })
      const rules = await readRules(options.rules)
      if (argv.includes('--check')) return
      const config = connectorConfig(options)
      if (options.sql) {
        process.stdout.write(await prepareSql(config, rules, options.role))
        return
      }
      const checks = await checkSource(config, rules)
      const text = options.json ? `${JSON.stringify({ checks, rules: describeRules(rules) })}\n` : readable(checks)
      process.stdout.write(text)
      process.exitCode = exitCode(checks, options.strict)
    } catch (error) {
      reportFailure(error)
    }
  },
}

function connectorConfig(options: ConfigOf<typeof DOCTOR_OPTIONS>): ConnectorConfig {
  return loadConfig(CONNECTOR_CONFIG, {
    env: {
      [CONNECTOR_CONFIG.databaseUrl.env]: options.databaseUrl,
      [CONNECTOR_CONFIG.namespace.env]: options.namespace,
      [CONNECTOR_CONFIG.slot.env]: options.slot,
      [CONNECTOR_CONFIG.publication.env]: options.publication,
      [CONNECTOR_CONFIG.createSlot.env]: String(options.createSlot),
      [CONNECTOR_CONFIG.failoverSlot.env]: String(options.failoverSlot),
      [CONNECTOR_CONFIG.createPublication.env]: String(options.createPublication),
    },
  })
}

function readable(checks: readonly Check[]): string {
  const lines = checks.flatMap(({ name, severity, message, remedy }) => [
    `${MARKS[severity]} ${name.padEnd(24)} ${message}`,
    ...(remedy === '' ? [] : remedy.split('\n').map((line) => ' '.repeat(REMEDY_COLUMN) + line)),
  ])
  const count = (wanted: Check['severity']): number => checks.filter(({ severity }) => severity === wanted).length
  return `${lines.join('\n')}\n\n${count('error')} errors, ${count('warn')} warnings\n`
}

function exitCode(checks: readonly Check[], isStrict: boolean): number {
  if (checks.some(({ severity }) => severity === 'error')) return EXIT_ERRORS
  return isStrict && checks.some(({ severity }) => severity === 'warn') ? EXIT_WARNINGS : 0
}
