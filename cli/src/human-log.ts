import { inspect } from 'node:util'
import { createLogger, dispositionOf, exitCodeOf, maskUrl, type Logger } from '@lockstep/runtime'

const write = (text: string): void => void process.stderr.write(`lockstep: ${maskUrl(text)}\n`)
const nothing = (): void => undefined

/** What a person is told: the error in its own words, after what was being done unless that says nothing. */
function textOf(fields: object, message: string): string {
  const { err, error = err } = fields as { err?: unknown; error?: unknown }
  if (error === undefined) return message
  const words =
    error instanceof Error ? error.message || error.name : typeof error === 'string' ? error : inspect(error)
  return message === 'failed' ? words : `${message}: ${words}`
}

/** A logger for commands that a person watches: warnings and errors as plain lines on standard error, nothing else. */
export function createHumanLogger(): Logger {
  const say = (fields: object, message: string): void => write(textOf(fields, message))
  const logger: Logger = { debug: nothing, info: nothing, warn: say, error: say, child: () => logger }
  return logger
}

/** Tells a person what ended a command and sets the exit code. An error that nobody foresaw keeps its stack. */
export function reportFailure(error: unknown): void {
  const isKnown = typeof (error as { disposition?: unknown } | null)?.disposition === 'string'
  if (isKnown && dispositionOf(error) !== 'aborted') write((error as Error).message)
  else createLogger({ service: 'lockstep', fd: 2 }).error({ err: error }, 'failed')
  process.exitCode = exitCodeOf(error)
}
