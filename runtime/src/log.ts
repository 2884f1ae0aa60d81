import pino from 'pino'
import { maskUrl } from './config.ts'

/** Writes one JSON line per call; the message is a fixed lower-case phrase, data goes into fields. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  child(bindings: object): Logger
}

/** Who writes, and from which level on. */
export interface LoggerOptions {
  readonly service: string
  readonly level?: 'debug' | 'info' | 'warn' | 'error' | 'silent' | undefined
  /** File descriptor: 1 (default) or 2. */
  readonly fd?: number | undefined
  /** Takes the lines instead of `fd`. */
  readonly sink?: { write(line: string): void } | undefined
}

const SECRET_FIELDS = ['password', 'url', 'databaseUrl', 'redisUrl', 'token', 'tokenSecret', 'authorization']
// Fields, fields of fields, and the context of a logged error.
const REDACTED = SECRET_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`])

/** Errors of drivers quote connection strings in their message. */
function serializeError(error: unknown): unknown {
  const plain: unknown = error instanceof Error ? pino.stdSerializers.err(error) : error
  if (typeof plain === 'string') return maskUrl(plain)
  if (typeof plain !== 'object' || plain === null) return plain
  const texts = Object.entries(plain).filter((entry): entry is [string, string] => typeof entry[1] === 'string')
  return { ...plain, ...Object.fromEntries(texts.map(([name, text]) => [name, maskUrl(text)])) }
}

/** Makes a pino logger that redacts URLs and passwords and writes synchronously, so that nothing is lost at exit. */
export function createLogger({ service, level = 'info', fd = 1, sink }: LoggerOptions): Logger {
  const options = {
    base: { service, pid: process.pid },
    level,
    redact: REDACTED,
    serializers: { err: serializeError },
    timestamp: pino.stdTimeFunctions.isoTime,
  }
  return pino(options, sink ?? pino.destination({ dest: fd, sync: true })) as unknown as Logger
}

const nothing = (): void => undefined

/** Writes nothing. */
export const silentLogger: Logger = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  child: () => silentLogger,
}
