/** How a failure of this room is handled, in the words of the runtime's error model. */
export type SchemaDisposition = 'poison' | 'config'

/** Documents every error code of this room: what an operator reads in `docs/errors.md`. */
export const SCHEMA_ERRORS = {
  LOCKSTEP_SCHEMA_FRAMING: {
    disposition: 'poison',
    message: 'the bytes do not begin with the single-object marker',
    remedy: 'Find out who else writes to the topic; nothing but Lockstep may. Confluent framing is not read.',
  },
  LOCKSTEP_SCHEMA_FINGERPRINT: {
    disposition: 'poison',
    message: 'the bytes were written with a schema this version does not know',
    remedy: 'Upgrade this process: a newer one wrote the record.',
  },
  LOCKSTEP_SCHEMA_TRUNCATED: {
    disposition: 'poison',
    message: 'the bytes end inside a field',
    remedy: 'Check the message size limits between producer and broker.',
  },
  LOCKSTEP_SCHEMA_TRAILING: {
    disposition: 'poison',
    message: 'bytes follow the end of the record',
    remedy: 'Find out who else writes to the topic; nothing but Lockstep may.',
  },
  LOCKSTEP_SCHEMA_MALFORMED: {
    disposition: 'poison',
    message: 'a field holds a value that no Lockstep process writes',
    remedy: 'Find out who else writes to the topic; nothing but Lockstep may.',
  },
  LOCKSTEP_SCHEMA_CONTROL: {
    disposition: 'poison',
    message: 'a control message is not JSON of a known form',
    remedy: 'Upgrade the connector before the other services, or find out who else writes to the topic.',
  },
  LOCKSTEP_SCHEMA_RULES: {
    disposition: 'config',
    message: 'lockstep.rules.yaml has faults',
    remedy: 'Mend every fault listed; each names its place and its remedy.',
  },
  LOCKSTEP_SCHEMA_REDIS_URL: {
    disposition: 'config',
    message: 'the URL of Redis names no host, or no master of Sentinel',
    remedy:
      'Write redis+sentinel://HOST:26379,HOST:26379,HOST:26379/MASTER, with the name that the Sentinels call the master, or redis+cluster://HOST:6379,HOST:6379.',
  },
} as const satisfies Record<string, { disposition: SchemaDisposition; message: string; remedy: string }>

/** Names one row of {@link SCHEMA_ERRORS}. */
export type SchemaErrorCode = keyof typeof SCHEMA_ERRORS

/** Says that bytes can never be decoded here; carries no payload, so it is safe to log. */
export class UndecodableError extends Error {
  override readonly name = 'UndecodableError'
  readonly code: SchemaErrorCode
  readonly disposition = 'poison'

  constructor(code: SchemaErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

/** Says that a Redis URL cannot be read; carries nothing of it, because it may hold a password. */
export class RedisUrlError extends Error {
  override readonly name = 'RedisUrlError'
  readonly code = 'LOCKSTEP_SCHEMA_REDIS_URL'
  readonly disposition = 'config'

  constructor() {
    const { message, remedy } = SCHEMA_ERRORS.LOCKSTEP_SCHEMA_REDIS_URL
    super(`${message}: ${remedy}`)
  }
}

/** Lists every fault of a rules file at once. */
export class RulesError extends Error {
  override readonly name = 'RulesError'
  readonly code = 'LOCKSTEP_SCHEMA_RULES'
  readonly disposition = 'config'
  /** One line per fault: its place in the file, what is wrong, what to write instead. */
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super(`the rules have ${faults.length} fault${faults.length === 1 ? '' : 's'}:\n  ${faults.join('\n  ')}`)
    this.faults = faults
  }
}
