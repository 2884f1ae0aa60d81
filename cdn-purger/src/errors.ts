import { defineErrors } from '@lockstep/runtime'

/** Errors of the purger: code → disposition, message, what to do. */
export const CDN_ERRORS = {
  LOCKSTEP_CDN_UNDECODABLE: {
    disposition: 'poison',
    message: 'a record of the purge topic is no purge command',
    remedy:
      'Look at the dead letter: another program writes to the topic, or a newer version wrote it. Upgrade the purger first.',
  },
  LOCKSTEP_CDN_KEY_REFUSED: {
    disposition: 'poison',
    message: 'an edge refuses the key of a purge command',
    remedy: 'Compare the limits in the configuration with those of the provider; purge the key by hand if it matters.',
  },
  LOCKSTEP_CDN_BAD_TIERS: {
    disposition: 'config',
    message: 'the list of tiers cannot be read: {reason}',
    remedy:
      'Set LOCKSTEP_PURGER_TIERS to tiers from the origin outward, as in varnish+http://shield:6081;varnish+http://edge:6081.',
  },
  LOCKSTEP_CDN_TOKEN_MISSING: {
    disposition: 'config',
    message: 'no {credential} for the {provider} tiers',
    remedy: 'Set the option of that provider and name (docs/configuration.md), or its _FILE variant.',
  },
  LOCKSTEP_CDN_BAD_LIMITS: {
    disposition: 'config',
    message: 'the limits of providers cannot be read: {reason}',
    remedy:
      'Set LOCKSTEP_PURGER_LIMITS to JSON such as {"cloudflare":{"rates":[{"unit":"requests","perSecond":50,"burst":500}]}}.',
  },
  LOCKSTEP_CDN_NO_SOFT_PURGE: {
    disposition: 'config',
    message: '{provider} cannot purge softly',
    remedy: 'Remove it from LOCKSTEP_PURGER_SOFT; it may name varnish, fastly, akamai and http.',
  },
  LOCKSTEP_CDN_EDGE_PORT_IN_USE: {
    disposition: 'config',
    message: 'port {port} is in use',
    remedy: 'Stop the process that listens there, or set LOCKSTEP_EDGE_PORT or LOCKSTEP_EDGE_PURGE_PORT to a free one.',
  },
  LOCKSTEP_CDN_API_PORT_IN_USE: {
    disposition: 'config',
    message: 'port {port} is in use',
    remedy: 'Stop the process that listens there, or set LOCKSTEP_PURGER_API_PORT to a free one.',
  },
  LOCKSTEP_CDN_BAD_API_TOKENS: {
    disposition: 'config',
    message: 'LOCKSTEP_PURGER_API_TOKENS cannot be read: {reason}',
    remedy:
      'Set it to name:role:SHA-256 of the token, separated by commas; `lockstep purge --new-token NAME:ROLE` makes them.',
  },
} as const

/** Makes an error of this room. */
export const fail = defineErrors('cdn-purger', CDN_ERRORS)
