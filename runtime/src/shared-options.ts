import { Type } from 'typebox'
import type { ConfigTable } from './config.ts'

/** Options that mean the same in every service, so that what one accepts no other refuses. */
export const SHARED_OPTIONS = {
  namespace: {
    env: 'LOCKSTEP_NAMESPACE',
    type: Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,31}$' }),
    default: 'lockstep',
    desc: 'Prefix of keys, topics and tokens, the same in every service: one source database, one namespace.',
  },
  kafkaBrokers: {
    env: 'LOCKSTEP_KAFKA_BROKERS',
    type: Type.Array(Type.String({ minLength: 1 })),
    default: ['127.0.0.1:9092'],
    desc: 'Brokers of the event log, host:port separated by commas; unused where the log is embedded.',
  },
  rulesFile: {
    env: 'LOCKSTEP_RULES_FILE',
    type: Type.String({ minLength: 1 }),
    default: 'lockstep.rules.yaml',
    desc: 'Rules that map rows to tags.',
  },
  logLevel: {
    env: 'LOCKSTEP_LOG_LEVEL',
    type: Type.Union([Type.Literal('debug'), Type.Literal('info'), Type.Literal('warn'), Type.Literal('error')]),
    default: 'info',
    desc: 'Least level that is logged.',
  },
} as const satisfies ConfigTable
