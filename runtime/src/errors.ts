import { inspect } from 'node:util'

/** How an error is handled: retried, dead-lettered, ends the stage, ends the start, or normal shutdown. */
export type Disposition = 'transient' | 'poison' | 'fatal' | 'config' | 'aborted'

/** Carries a stable code and the way it is handled. */
export class LockstepError extends Error {
  readonly code: `LOCKSTEP_${string}`
  readonly disposition: Disposition
  readonly context: Record<string, unknown>

  constructor(
    code: `LOCKSTEP_${string}`,
    message: string,
    options: { disposition: Disposition; context?: Record<string, unknown>; cause?: unknown },
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'LockstepError'
    this.code = code
    this.disposition = options.disposition
    this.context = options.context ?? {}
  }
}

/** One line of a room's error table. `{name}` in message and remedy is filled from the context. */
export interface ErrorRow {
  readonly disposition: Disposition
  readonly message: string
  /** What the operator does about it, as a sentence. */
  readonly remedy: string
}

/** A room's errors by code; the generated reference prints it. */
export type ErrorTable = Readonly<Record<`LOCKSTEP_${string}`, ErrorRow>>

function textOf(value: unknown): string {
  if (value === undefined || value === null) return '?'
  return typeof value === 'object'
    ? inspect(value, { breakLength: Infinity })
    : String(value as string | number | bigint)
}

/** Makes the error constructor of a room from its table; the message ends with the remedy. */
export function defineErrors<Table extends ErrorTable>(_room: string, table: Table) {
  return (code: keyof Table & `LOCKSTEP_${string}`, context: Record<string, unknown> = {}, cause?: unknown) => {
    const row = table[code] as ErrorRow
    // A message that ends with a list stands on lines of its own.
    const text = row.message.endsWith('\n') ? row.message + row.remedy : `${row.message}. ${row.remedy}`
    const message = text.replaceAll(/\{(\w+)\}/g, (_match, name: string) => textOf(context[name]))
    return new LockstepError(code, message, { disposition: row.disposition, context, cause })
  }
}

/** Tells how to handle any error: foreign ones count as transient, aborts as a normal shutdown. */
export function dispositionOf(error: unknown): Disposition {
  const disposition = (error as { disposition?: unknown } | null)?.disposition
  // By structure: the libraries have error classes of their own with the same field.
  if (typeof disposition === 'string') return disposition as Disposition
  if (error instanceof Error && error.name === 'AbortError') return 'aborted'
  return 'transient'
}
