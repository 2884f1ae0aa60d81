import { defineErrors } from '@lockstep/runtime'

/** Every error of the room: disposition, message and what the operator does about it. */
export const INVALIDATOR_ERRORS = {
  LOCKSTEP_INV_RULES_UNREADABLE: {
    disposition: 'config',
    message: 'the rules file {path} cannot be read',
    remedy: 'Create it, or name another one with LOCKSTEP_RULES_FILE.',
  },
  LOCKSTEP_INV_RULES_INVALID: {
    disposition: 'config',
    message: 'the rules file {path} has faults:\n{faults}\n',
    remedy: 'Mend every line above; the JSON Schema of the file is lockstep.rules.schema.json.',
  },
  LOCKSTEP_INV_TAGS_UNDERIVABLE: {
    disposition: 'poison',
    message: 'the tags of a change cannot be derived',
    remedy:
      'Its table was fenced as a whole, nothing is stale; look for the record in dead-letters and mend the rules.',
  },
  LOCKSTEP_INV_UNEXPECTED_RECORD: {
    disposition: 'poison',
    message: 'a record in changes is no change, watermark or flush',
    remedy: 'A new generation flushed every layer, nothing is stale; find out who else writes to the topic.',
  },
  LOCKSTEP_INV_UNREADABLE_RECORD: {
    disposition: 'poison',
    message: 'a record in changes cannot be decoded',
    remedy: 'A new generation flushed every layer, nothing is stale; upgrade this service before the connector.',
  },
} as const

/** Builds an error of the table. */
export const fail = defineErrors('invalidator', INVALIDATOR_ERRORS)
