import { UndecodableError } from './errors.ts'
import type { ControlMessage } from './events.ts'

// A control message takes about 100 bytes; the rest is room for a reason.
const MAX_BYTES = 4096
const MAX_GENERATION = 0xffffffff
const REDIS_TIME_US = /^\d{1,16}$/

/** Encodes a control message as JSON with exactly its fields. */
export function encodeControl(message: ControlMessage): Buffer {
  return Buffer.from(JSON.stringify(fieldsOf(message)))
}

/** Decodes a control message; fields it does not know are ignored. @throws UndecodableError for anything else. */
export function decodeControl(bytes: Buffer): ControlMessage {
  if (bytes.length > MAX_BYTES) throw refused(`has ${bytes.length} bytes, more than ${MAX_BYTES}`)
  let value: unknown
  try {
    value = JSON.parse(bytes.toString())
  } catch (error) {
    throw refused('is not JSON', error)
  }
  if (typeof value !== 'object' || value === null) throw refused('is not an object')
  const fields = value as Readonly<Record<string, unknown>>
  if (fields.kind === 'echo') return echoOf(fields)
  if (fields.kind === 'new-generation') return requestOf(fields)
  throw refused('is of an unknown kind')
}

function echoOf({ redisTimeUs }: Readonly<Record<string, unknown>>): ControlMessage {
  if (typeof redisTimeUs !== 'string' || !REDIS_TIME_US.test(redisTimeUs)) throw refused('has no redisTimeUs in digits')
  return { kind: 'echo', redisTimeUs }
}

function requestOf({ above, reason, edge }: Readonly<Record<string, unknown>>): ControlMessage {
  if (typeof above !== 'number' || !Number.isInteger(above) || above < 0 || above > MAX_GENERATION)
    throw refused('has no generation in `above`')
  if (typeof reason !== 'string') throw refused('has no text in `reason`')
  if (typeof edge !== 'boolean') throw refused('has no boolean in `edge`')
  return { kind: 'new-generation', above, reason, edge }
}

function fieldsOf(message: ControlMessage): ControlMessage {
  return message.kind === 'echo'
    ? { kind: 'echo', redisTimeUs: message.redisTimeUs }
    : { kind: 'new-generation', above: message.above, reason: message.reason, edge: message.edge }
}

function refused(what: string, cause?: unknown): UndecodableError {
  return new UndecodableError('LOCKSTEP_SCHEMA_CONTROL', `the control message ${what}`, cause)
}
