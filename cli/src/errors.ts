import { defineErrors } from '@lockstep/runtime'

/** Errors of the command line. */
export const CLI_ERRORS = {
  LOCKSTEP_CLI_UNKNOWN_COMMAND: {
    disposition: 'config',
    message: 'there is no command {command}',
    remedy: 'lockstep --help lists them.',
  },
  LOCKSTEP_CLI_RULES_UNREADABLE: {
    disposition: 'config',
    message: 'the rules file {path} cannot be read',
    remedy: 'Name an existing file with --rules; api/lockstep.rules.yaml is an example.',
  },
  LOCKSTEP_CLI_REDIS_UNREACHABLE: {
    disposition: 'config',
    message: 'Redis cannot be reached at {url} ({reason})',
    remedy:
      'Start it, or correct LOCKSTEP_REDIS_URL (--redis-url); without one, `lockstep dev` starts a Redis of its own.',
  },
  LOCKSTEP_CLI_CHILD_DIED: {
    disposition: 'fatal',
    message: 'the process {name} ended with {how}: {words}',
    remedy: 'Everything was stopped; start again.',
  },
  LOCKSTEP_CLI_API_UNREACHABLE: {
    disposition: 'transient',
    message: 'the admin API does not answer at {url} ({reason})',
    remedy: 'Start the purger with a journal and tokens, or name its address with --url.',
  },
  LOCKSTEP_CLI_API_REFUSED: {
    disposition: 'poison',
    message: '{code}: {detail}',
    remedy: 'docs/errors.md lists the codes.',
  },
  LOCKSTEP_CLI_NOT_CONFIRMED: {
    disposition: 'config',
    message: '{keys} keys would be purged, and there is no terminal to ask at',
    remedy: 'Look at --dry-run, then add --yes.',
  },
  LOCKSTEP_CLI_REBUILDING: {
    disposition: 'transient',
    message: 'another process is building the read model',
    remedy: 'Wait until it has done so; a builder that died is replaced after a minute.',
  },
} as const

/** Makes an error of this room. */
export const fail = defineErrors('cli', CLI_ERRORS)
