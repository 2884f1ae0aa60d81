import { SHARED_OPTIONS, type ConfigOf } from '@lockstep/runtime'
import { Type } from 'typebox'

/** Options of the demo API. The defaults run the compose stack unchanged. */
export const API_OPTIONS = {
  host: {
    env: 'LOCKSTEP_API_HOST',
    type: Type.String({ minLength: 1 }),
    default: '0.0.0.0',
    desc: 'Address of the API.',
  },
  port: {
    env: 'LOCKSTEP_API_PORT',
    type: Type.Integer({ minimum: 0, maximum: 65535 }),
    default: 3000,
    desc: 'Port of the API; 0 takes a free one.',
  },
  adminPort: {
    env: 'LOCKSTEP_API_ADMIN_PORT',
    type: Type.Integer({ minimum: 0, maximum: 65535 }),
    default: 3001,
    desc: 'Port of /livez, /readyz, /statusz and /metrics; 0 takes a free one.',
  },
  adminHost: {
    env: 'LOCKSTEP_API_ADMIN_HOST',
    type: Type.String({ minLength: 1 }),
    default: '127.0.0.1',
    desc: 'Address of /livez, /readyz, /statusz and /metrics; nobody is asked for credentials there.',
  },
  databaseUrl: {
    env: 'LOCKSTEP_API_DATABASE_URL',
    type: Type.String({ minLength: 1 }),
    default: 'postgres://postgres:postgres@postgres:5432/shop',
    secret: true,
    desc: 'The primary that the API reads and writes.',
  },
  replicaUrls: {
    env: 'LOCKSTEP_API_REPLICA_URLS',
    type: Type.String(),
    default: '',
    secret: true,
    desc: 'Hot standbys of the primary, separated by commas, each reached directly; empty reads the primary only.',
  },
  replicaMaxLagMs: {
    env: 'LOCKSTEP_API_REPLICA_MAX_LAG_MS',
    type: Type.Integer({ minimum: 0 }),
    default: 1000,
    unit: 'ms',
    desc: 'Lag above which a standby is not read; never more than half of the contract.',
  },
  databaseConnections: {
    env: 'LOCKSTEP_API_DATABASE_CONNECTIONS',
    type: Type.Integer({ minimum: 1, maximum: 500 }),
    default: 20,
    desc: 'Largest number of database connections of this process; what loads leave over is for writes.',
  },
  statementTimeoutMs: {
    env: 'LOCKSTEP_API_STATEMENT_TIMEOUT_MS',
    type: Type.Integer({ minimum: 1 }),
    default: 5000,
    unit: 'ms',
    desc: 'Longest statement, and longest wait for a connection.',
  },
  redisUrl: {
    env: 'LOCKSTEP_REDIS_URL',
    type: Type.String({ minLength: 1 }),
    default: 'redis://redis:6379',
    secret: true,
    desc: 'Redis that holds values, fences and the bus; also redis+sentinel://HOST:PORT,HOST:PORT/MASTER or redis+cluster://HOST:PORT,HOST:PORT.',
  },
  kafkaBrokers: {
    env: 'LOCKSTEP_KAFKA_BROKERS',
    type: Type.Array(Type.String({ minLength: 1 })),
    default: [] as string[],
    desc: 'Brokers that take views and orders, host:port separated by commas; none keeps them in this process, which then works them off too.',
  },
  namespace: SHARED_OPTIONS.namespace,
  processId: {
    env: 'LOCKSTEP_API_PROCESS_ID',
    type: Type.String(),
    default: '',
    desc: 'Name of this process in the barrier; empty makes one from host, pid and a random part.',
  },
  maxStalenessMs: {
    env: 'LOCKSTEP_MAX_STALENESS_MS',
    type: Type.Integer({ minimum: 1 }),
    default: 5000,
    unit: 'ms',
    desc: 'Contract of L1 and Redis: how long after a change became visible a read may still miss it.',
  },
  ttlMs: {
    env: 'LOCKSTEP_API_TTL_MS',
    type: Type.Integer({ minimum: 1 }),
    default: 300_000,
    unit: 'ms',
    desc: 'Longest life of a cached value; invalidation does not depend on it.',
  },
  l1Bytes: {
    env: 'LOCKSTEP_API_L1_BYTES',
    type: Type.Integer({ minimum: 1 }),
    default: 64 * 1024 * 1024,
    unit: 'bytes',
    desc: 'Size of the in-process cache.',
  },
  maxConcurrentLoads: {
    env: 'LOCKSTEP_API_MAX_CONCURRENT_LOADS',
    type: Type.Integer({ minimum: 1 }),
    default: 16,
    desc: 'How many loads may run at once; keep it below the number of connections. What waits longer than 1 s gets 503.',
  },
  edgeTtlSeconds: {
    env: 'LOCKSTEP_EDGE_TTL_SECONDS',
    type: Type.Integer({ minimum: 1 }),
    default: 60,
    unit: 's',
    desc: 'Life of a response at the edge: the contract there.',
  },
  reboundMs: {
    env: 'LOCKSTEP_REBOUND_MS',
    type: Type.Integer({ minimum: 1 }),
    default: 2000,
    unit: 'ms',
    desc: 'How long after a purge its tag counts as freshly fenced; the same value as the purger.',
  },
  tokenSecret: {
    env: 'LOCKSTEP_TOKEN_SECRET',
    type: Type.String({ minLength: 16 }),
    default: 'a-demo-secret-of-nobody',
    secret: true,
    desc: 'Key that signs read-your-writes tokens; the same in every process.',
  },
  trustProxy: {
    env: 'LOCKSTEP_API_TRUST_PROXY',
    type: Type.String(),
    default: '',
    desc: 'Addresses whose X-Forwarded headers are believed, as CIDR; empty for none.',
  },
  maxEventLoopDelayMs: {
    env: 'LOCKSTEP_API_MAX_EVENT_LOOP_DELAY_MS',
    type: Type.Integer({ minimum: 0 }),
    default: 1000,
    unit: 'ms',
    desc: 'Mean event-loop delay above which requests are refused with 503; 0 never refuses.',
  },
  maxEventLoopUtilization: {
    env: 'LOCKSTEP_API_MAX_EVENT_LOOP_UTILIZATION',
    type: Type.Number({ minimum: 0, maximum: 1 }),
    default: 0,
    desc: 'Share of the last second that the event loop was busy, above which requests are refused with 503; 0 never refuses.',
  },
  readsPerMinute: {
    env: 'LOCKSTEP_API_READS_PER_MINUTE',
    type: Type.Integer({ minimum: 0, maximum: 1_000_000_000 }),
    default: 600_000,
    desc: 'Reads of one client address (of an IPv6 /64), over all replicas, all at once if it likes; 0 for no limit. Behind proxies set LOCKSTEP_API_TRUST_PROXY, else all clients are one.',
  },
  writesPerMinute: {
    env: 'LOCKSTEP_API_WRITES_PER_MINUTE',
    type: Type.Integer({ minimum: 0, maximum: 1_000_000_000 }),
    default: 60_000,
    desc: 'Writes of one client address, as reads.',
  },
  loginsPerMinute: {
    env: 'LOCKSTEP_API_LOGINS_PER_MINUTE',
    type: Type.Integer({ minimum: 0, maximum: 1_000_000 }),
    default: 10,
    desc: 'Logins of one client address in any minute, and as many for one account; 0 for no limit. While Redis is away nobody logs in.',
  },
} as const

/** The values of the API's options. */
export type ApiConfig = ConfigOf<typeof API_OPTIONS>
