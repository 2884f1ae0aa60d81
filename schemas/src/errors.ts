/** How a failure of this room is handled, in the words of the runtime's error model. */
export type SchemaDisposition = 'poison' | 'config'

/** Documents every error code of this room: what an operator reads in `docs/errors.md`. */
export const SCHEMA_ERRORS = {
  LOCKSTEP_SCHEMA_FRAMING: {
    disposition: 'poison',
    summary: 'the bytes do not begin with the single-object marker',
    action: 'Find out who else writes to the topic; nothing but Lockstep may. Confluent framing is not read.',
  },
  LOCKSTEP_SCHEMA_FINGERPRINT: {
    disposition: 'poison',
    summary: 'the bytes were written with a schema this version does not know',
    action: 'Upgrade this process: a newer one wrote the record.',
  },
  LOCKSTEP_SCHEMA_TRUNCATED: {
    disposition: 'poison',
    summary: 'the bytes end inside a field',
    action: 'Check the message size limits between producer and broker.',
  },
  LOCKSTEP_SCHEMA_TRAILING: {
    disposition: 'poison',
    summary: 'bytes follow the end of the record',
    action: 'Find out who else writes to the topic; nothing but Lockstep may.',
  },
  LOCKSTEP_SCHEMA_MALFORMED: {
    disposition: 'poison',
    summary: 'a field holds a value that no Lockstep process writes',
    action: 'Find out who else writes to the topic; nothing but Lockstep may.',
  },
  LOCKSTEP_SCHEMA_CONTROL: {
    disposition: 'poison',
    summary: 'a control message is not JSON of a known form',
    action: 'Upgrade the connector before the other services, or find out who else writes to the topic.',
  },
  LOCKSTEP_SCHEMA_RULES: {
    disposition: 'config',
    summary: 'lockstep.rules.yaml has faults',
    action: 'Mend every fault listed; each names its place and its remedy.',
  },
} as const satisfies Record<string, { disposition: SchemaDisposition; summary: string; action: string }>

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
