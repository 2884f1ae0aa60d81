import { checkSource, CONNECTOR_CONFIG } from '@lockstep/connector'
import { loadConfig, type ConfigTable } from '@lockstep/runtime'
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
  createPublication: CONNECTOR_CONFIG.createPublication,
  json: { env: 'LOCKSTEP_DOCTOR_JSON', type: Type.Boolean(), default: false, desc: 'Print one JSON document.' },
} as const satisfies ConfigTable

const MARKS = { ok: 'ok   ', info: 'info ', warn: 'warn ', error: 'ERROR' } as const
// Worse than a warning, better than a broken configuration of the command itself (78).
const EXIT_FAULTS = 1

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
      const config = loadConfig(CONNECTOR_CONFIG, {
        env: {
          [CONNECTOR_CONFIG.databaseUrl.env]: options.databaseUrl,
          [CONNECTOR_CONFIG.namespace.env]: options.namespace,
          [CONNECTOR_CONFIG.slot.env]: options.slot,
          [CONNECTOR_CONFIG.publication.env]: options.publication,
          [CONNECTOR_CONFIG.createSlot.env]: String(options.createSlot),
          [CONNECTOR_CONFIG.createPublication.env]: String(options.createPublication),
        },
      })
      const checks = await checkSource(config, rules)
      if (options.json) process.stdout.write(`${JSON.stringify({ checks, rules: describeRules(rules) })}\n`)
      else {
        for (const { name, severity, message, remedy } of checks) {
          process.stdout.write(`${MARKS[severity]} ${name.padEnd(24)} ${message}\n`)
          if (remedy !== '') process.stdout.write(`${' '.repeat(31)}${remedy}\n`)
        }
      }
      if (checks.some(({ severity }) => severity === 'error')) process.exitCode = EXIT_FAULTS
    } catch (error) {
      reportFailure(error)
    }
  },
}
