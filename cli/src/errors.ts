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
    message: 'Redis cannot be reached at {url}',
    remedy: 'Start it, or correct --redis-url; without --redis-url, dev starts one of its own.',
  },
  LOCKSTEP_CLI_CHILD_DIED: {
    disposition: 'fatal',
    message: 'the process {name} ended with code {code}',
    remedy: 'Its last lines are above.',
  },
} as const

/** Makes an error of this room. */
export const fail = defineErrors('cli', CLI_ERRORS)
