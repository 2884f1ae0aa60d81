import type { LockstepError } from '@lockstep/runtime'
import type { ConnectorConfig } from './config.ts'
import { fail } from './errors.ts'

/** How much a finding matters. An `error` keeps the connector from starting. */
export type Severity = 'ok' | 'info' | 'warn' | 'error'

/** What mends a finding. */
export interface Remedy {
  /** Statements to run as they stand, an option as NAME=value, or a sentence; '' where nothing is to be done. */
  readonly remedy: string
  /** Whether `remedy` is SQL; what SQL cannot say stands in its comments. */
  readonly isSql: boolean
}

/** One finding. */
export interface Check extends Remedy {
  readonly name: string
  readonly severity: Severity
  /** What was found, beginning in lower case. */
  readonly message: string
}

/** The options that preflight judges against. */
export type PreflightConfig = Pick<
  ConnectorConfig,
  'namespace' | 'slot' | 'publication' | 'createPublication' | 'createSlot' | 'failoverSlot'
>

/** A remedy in SQL, one statement or comment per line. */
export const sql = (...lines: string[]): Remedy => ({ remedy: lines.join('\n'), isSql: true })

/** A remedy that is no SQL: an option or a sentence. */
export const advice = (remedy: string): Remedy => ({ remedy, isSql: false })

/** Makes a check that found nothing wrong. */
export const ok = (name: string, message: string): Check => ({ name, severity: 'ok', message, ...advice('') })

/** Makes a check that found something. */
export const found = (name: string, severity: Severity, message: string, remedy: Remedy = advice('')): Check => ({
  name,
  severity,
  message,
  ...remedy,
})

/** The error that lists every finding which keeps the connector from starting; undefined where there is none. */
export function refusalOf(checks: readonly Check[]): LockstepError | undefined {
  const faults = checks.filter(({ severity }) => severity === 'error')
  if (faults.length === 0) return undefined
  const lines = faults.flatMap(({ message, remedy }) => [message, ...remedy.split('\n').map((line) => `    ${line}`)])
  return fail('LOCKSTEP_CON_PREFLIGHT', { faults: lines.map((line) => line.trimEnd()).join('\n  ') })
}
