import type { LockstepError } from '@lockstep/runtime'
import type { ConnectorConfig } from './config.ts'
import { fail } from './errors.ts'

/** One finding. An `error` keeps the connector from starting. */
export interface Check {
  readonly name: string
  readonly severity: 'ok' | 'info' | 'warn' | 'error'
  /** What was found, beginning in lower case. */
  readonly message: string
  /** SQL or an option; '' where nothing is to be done. */
  readonly remedy: string
}

/** The options that preflight judges against. */
export type PreflightConfig = Pick<ConnectorConfig, 'slot' | 'publication' | 'createPublication' | 'createSlot'>

/** Makes a check that found nothing wrong. */
export function ok(name: string, message: string): Check {
  return { name, severity: 'ok', message, remedy: '' }
}

/** Answers `good` when the condition holds, else `bad`. */
export function check(name: string, holds: boolean, good: string, bad: Omit<Check, 'name'>): Check {
  return holds ? ok(name, good) : { name, ...bad }
}

/** The error that lists every finding which keeps the connector from starting; undefined where there is none. */
export function refusalOf(checks: readonly Check[]): LockstepError | undefined {
  const faults = checks.filter(({ severity }) => severity === 'error')
  if (faults.length === 0) return undefined
  const lines = faults.map(({ message, remedy }) => (remedy === '' ? message : `${message}\n    ${remedy}`))
  return fail('LOCKSTEP_CON_PREFLIGHT', { faults: lines.join('\n  ') })
}
