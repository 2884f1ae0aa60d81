import type { ConfigOf } from '@lockstep/runtime'
import { Type } from 'typebox'
import { API_OPTIONS } from '../config.ts'

/** Options of the shop's worker. */
export const WORKER_OPTIONS = {
  roles: {
    env: 'LOCKSTEP_SHOP_WORKER_ROLES',
    type: Type.Array(Type.Union([Type.Literal('views'), Type.Literal('orders'), Type.Literal('projection')]), {
      minItems: 1,
    }),
    default: ['views', 'orders', 'projection'],
    desc: 'What this worker does, separated by commas: counts views, decides orders, projects the bestsellers.',
  },
  kafkaBrokers: {
    ...API_OPTIONS.kafkaBrokers,
    default: ['kafka:9092'],
    desc: 'Brokers of the log, host:port separated by commas.',
  },
  namespace: API_OPTIONS.namespace,
  databaseUrl: { ...API_OPTIONS.databaseUrl, desc: 'The primary that counters, orders and stock are written to.' },
  redisUrl: { ...API_OPTIONS.redisUrl, desc: 'Redis that holds the read model.' },
  statementTimeoutMs: API_OPTIONS.statementTimeoutMs,
  adminHost: {
    env: 'LOCKSTEP_SHOP_WORKER_ADMIN_HOST',
    type: Type.String({ minLength: 1 }),
    default: '127.0.0.1',
    desc: 'Address of /livez, /readyz, /statusz and /metrics.',
  },
  adminPort: {
    env: 'LOCKSTEP_SHOP_WORKER_ADMIN_PORT',
    type: Type.Integer({ minimum: 0, maximum: 65_535 }),
    default: 9105,
    desc: 'Port of /livez, /readyz, /statusz and /metrics; 0 chooses a free one.',
  },
} as const

/** The values of the worker's options. */
export type WorkerConfig = ConfigOf<typeof WORKER_OPTIONS>
