import type { ConfigTable } from '@lockstep/runtime'
import { Type } from 'typebox'

/** Options of the purger; `LOCKSTEP_PURGER_*`, and those it shares with the other services. */
export const PURGER_CONFIG = {
  namespace: {
    env: 'LOCKSTEP_NAMESPACE',
    type: Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,31}$' }),
    default: 'lockstep',
    desc: 'Prefix of keys and topics; one per source database.',
  },
  redisUrl: {
    env: 'LOCKSTEP_REDIS_URL',
    type: Type.String({ pattern: '^$|^rediss?://' }),
    default: 'redis://127.0.0.1:6379',
    secret: true,
    desc: 'Redis that holds the acknowledgements of the API processes; empty when no process caches.',
  },
  maxStalenessMs: {
    env: 'LOCKSTEP_MAX_STALENESS_MS',
    type: Type.Integer({ minimum: 100, maximum: 600_000 }),
    default: 5_000,
    unit: 'ms',
    desc: 'Contract of the layers before the edge: the longest a purge waits for a process. The same everywhere.',
  },
  tiers: {
    env: 'LOCKSTEP_PURGER_TIERS',
    type: Type.String(),
    desc: 'Tiers from the origin outward: `;` between tiers, `,` within one, each varnish+URL or fastly+URL.',
  },
  varnishToken: {
    env: 'LOCKSTEP_PURGER_VARNISH_TOKEN',
    type: Type.String(),
    default: '',
    secret: true,
    desc: 'Token that the VCL of every Varnish tier expects.',
  },
  fastlyToken: {
    env: 'LOCKSTEP_PURGER_FASTLY_TOKEN',
    type: Type.String(),
    default: '',
    secret: true,
    desc: 'Fastly-Key, with the smallest scope that purges.',
  },
  fastlySoft: {
    env: 'LOCKSTEP_PURGER_FASTLY_SOFT',
    type: Type.Boolean(),
    default: false,
    desc: 'Marks objects stale instead of removing them; each may answer once more from before the change.',
  },
  reboundMs: {
    env: 'LOCKSTEP_REBOUND_MS',
    type: Type.Integer({ minimum: 50, maximum: 60_000 }),
    default: 2_000,
    unit: 'ms',
    desc: 'Pause before the second purge: longer than any answer of the origin takes.',
  },
  concurrency: {
    env: 'LOCKSTEP_PURGER_CONCURRENCY',
    type: Type.Integer({ minimum: 1, maximum: 64 }),
    default: 2,
    desc: 'Purge requests in flight per provider.',
  },
  timeoutMs: {
    env: 'LOCKSTEP_PURGER_TIMEOUT_MS',
    type: Type.Integer({ minimum: 100, maximum: 120_000 }),
    default: 5_000,
    unit: 'ms',
    desc: 'Longest wait for the answer to one purge request.',
  },
  varnishMaxKeys: {
    env: 'LOCKSTEP_PURGER_VARNISH_MAX_KEYS',
    type: Type.Integer({ minimum: 1, maximum: 10_000 }),
    default: 200,
    desc: 'Keys per request to a Varnish.',
  },
  varnishMaxBytes: {
    env: 'LOCKSTEP_PURGER_VARNISH_MAX_BYTES',
    type: Type.Integer({ minimum: 64, maximum: 1_048_576 }),
    default: 7_000,
    unit: 'bytes',
    desc: 'Bytes of keys per request to a Varnish; below its http_req_hdr_len (8 KiB unless tuned).',
  },
  fastlyMaxKeys: {
    env: 'LOCKSTEP_PURGER_FASTLY_MAX_KEYS',
    type: Type.Integer({ minimum: 1, maximum: 10_000 }),
    default: 256,
    desc: 'Keys per request to Fastly, which refuses more than 256.',
  },
  maxBacklogKeys: {
    env: 'LOCKSTEP_PURGER_MAX_BACKLOG_KEYS',
    type: Type.Integer({ minimum: 100 }),
    default: 200_000,
    desc: 'Intake pauses while so many tags wait; about 1 kB of memory each.',
  },
  drainMs: {
    env: 'LOCKSTEP_PURGER_DRAIN_MS',
    type: Type.Integer({ minimum: 0, maximum: 20_000 }),
    default: 3_000,
    unit: 'ms',
    desc: 'How long a stop waits for purges and rebounds; what is left is done after the next start.',
  },
  adminHost: {
    env: 'LOCKSTEP_PURGER_ADMIN_HOST',
    type: Type.String({ minLength: 1 }),
    default: '127.0.0.1',
    desc: 'Address of the admin server.',
  },
  adminPort: {
    env: 'LOCKSTEP_PURGER_ADMIN_PORT',
    type: Type.Integer({ minimum: 0, maximum: 65_535 }),
    default: 9_403,
    desc: 'Port of /livez, /readyz, /statusz and /metrics; 0 takes any free one.',
  },
  kafkaBrokers: {
    env: 'LOCKSTEP_KAFKA_BROKERS',
    type: Type.Array(Type.String({ minLength: 1 })),
    default: ['127.0.0.1:9092'],
    desc: 'Brokers of the event log, host:port separated by commas; unused where the log is embedded.',
  },
  logLevel: {
    env: 'LOCKSTEP_LOG_LEVEL',
    type: Type.Union([Type.Literal('debug'), Type.Literal('info'), Type.Literal('warn'), Type.Literal('error')]),
    default: 'info',
    desc: 'Least severe level that is written.',
  },
} as const satisfies ConfigTable
