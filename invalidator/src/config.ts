import { Type } from 'typebox'
import { REDIS_URL_PATTERN } from '@lockstep/schemas'
import { SHARED_OPTIONS, type ConfigOf, type ConfigTable } from '@lockstep/runtime'

/** Options of the invalidator. */
export const INVALIDATOR_CONFIG = {
  namespace: SHARED_OPTIONS.namespace,
  redisUrl: {
    env: 'LOCKSTEP_REDIS_URL',
    type: Type.String({ pattern: REDIS_URL_PATTERN }),
    default: 'redis://127.0.0.1:6379',
    desc: 'Redis >= 7 that holds fences, values and the bus; also redis+sentinel://HOST:PORT,HOST:PORT/MASTER or redis+cluster://HOST:PORT,HOST:PORT.',
    secret: true,
  },
  kafkaBrokers: SHARED_OPTIONS.kafkaBrokers,
  rulesFile: SHARED_OPTIONS.rulesFile,
  echoMs: {
    env: 'LOCKSTEP_INVALIDATOR_ECHO_MS',
    type: Type.Integer({ minimum: 5, maximum: 1_000 }),
    default: 50,
    unit: 'ms',
    desc: "Pause between two echoes of Redis' time; with the connector's heartbeat it bounds how old a healthy layer looks.",
  },
  shortFenceMs: {
    env: 'LOCKSTEP_INVALIDATOR_SHORT_FENCE_MS',
    type: Type.Integer({ minimum: 20_001, maximum: 3_600_000 }),
    default: 30_000,
    unit: 'ms',
    desc: 'Least life of a fence; longer than the longest lease (20,000 ms), else a late load could be stored.',
  },
  redisTimeoutMs: {
    env: 'LOCKSTEP_INVALIDATOR_REDIS_TIMEOUT_MS',
    type: Type.Integer({ minimum: 100, maximum: 30_000 }),
    default: 2_000,
    unit: 'ms',
    desc: 'Longest wait for one answer of Redis before the batch is tried again.',
  },
  adminHost: {
    env: 'LOCKSTEP_INVALIDATOR_ADMIN_HOST',
    type: Type.String({ minLength: 1 }),
    default: '127.0.0.1',
    desc: 'Address of /livez, /readyz, /statusz and /metrics.',
  },
  adminPort: {
    env: 'LOCKSTEP_INVALIDATOR_ADMIN_PORT',
    type: Type.Integer({ minimum: 0, maximum: 65_535 }),
    default: 9_102,
    desc: 'Port of /livez, /readyz, /statusz and /metrics; 0 takes a free one.',
  },
  logLevel: SHARED_OPTIONS.logLevel,
} as const satisfies ConfigTable

/** What the options say. */
export type InvalidatorConfig = ConfigOf<typeof INVALIDATOR_CONFIG>
