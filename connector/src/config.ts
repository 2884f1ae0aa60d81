import { Type } from 'typebox'
import { SHARED_OPTIONS, type ConfigOf, type ConfigTable } from '@lockstep/runtime'

/** Every option of the connector. */
export const CONNECTOR_CONFIG = {
  databaseUrl: {
    env: 'LOCKSTEP_CONNECTOR_DATABASE_URL',
    type: Type.String({ pattern: '^postgres(ql)?://' }),
    secret: true,
    desc: 'The primary itself, never a pooler; the role needs LOGIN and REPLICATION.',
  },
  namespace: SHARED_OPTIONS.namespace,
  slot: {
    env: 'LOCKSTEP_CONNECTOR_SLOT',
    type: Type.String({ pattern: '^[a-z0-9_]{1,63}$' }),
    default: 'lockstep',
    desc: 'Replication slot.',
  },
  publication: {
    env: 'LOCKSTEP_CONNECTOR_PUBLICATION',
    type: Type.String({ pattern: '^[a-z_][a-z0-9_]{0,62}$' }),
    default: 'lockstep',
    desc: 'Publication of the tables that rules name.',
  },
  createPublication: {
    env: 'LOCKSTEP_CONNECTOR_CREATE_PUBLICATION',
    type: Type.Boolean(),
    default: true,
    desc: 'Create the publication when it is missing.',
  },
  createSlot: {
    env: 'LOCKSTEP_CONNECTOR_CREATE_SLOT',
    type: Type.Boolean(),
    default: true,
    desc: 'Create the slot when it is missing or lost; a new generation then begins.',
  },
  temporarySlot: {
    env: 'LOCKSTEP_CONNECTOR_TEMPORARY_SLOT',
    type: Type.Boolean(),
    default: false,
    desc: 'Use a slot that vanishes with the connection, and drop at the end a publication made at the start; every connection then begins a new generation.',
  },
  failoverSlot: {
    env: 'LOCKSTEP_CONNECTOR_FAILOVER_SLOT',
    type: Type.Boolean(),
    default: true,
    desc: 'Create the slot so that standbys keep a copy of it (PostgreSQL 17 and newer, with sync_replication_slots on the standby).',
  },
  maxGenerationsPerHour: {
    env: 'LOCKSTEP_CONNECTOR_MAX_GENERATIONS_PER_HOUR',
    type: Type.Integer({ minimum: 1, maximum: 3_600 }),
    default: 6,
    desc: 'Gaps (slot or publication lost, another primary) within an hour that are answered with a new generation, which empties every cache; past it the connector waits.',
  },
  kafkaBrokers: SHARED_OPTIONS.kafkaBrokers,
  rulesFile: SHARED_OPTIONS.rulesFile,
  heartbeatMs: {
    env: 'LOCKSTEP_CONNECTOR_HEARTBEAT_MS',
    type: Type.Integer({ minimum: 5, maximum: 10_000 }),
    default: 50,
    unit: 'ms',
    desc: 'Time between watermarks; it bounds the freshness that readers can prove.',
  },
  lingerMs: {
    env: 'LOCKSTEP_CONNECTOR_LINGER_MS',
    type: Type.Integer({ minimum: 0, maximum: 100 }),
    default: 0,
    unit: 'ms',
    desc: 'Least time between two snapshots: under load changes travel together, which spares every stage behind. 0 adds no wait.',
  },
  maxBufferedBytes: {
    env: 'LOCKSTEP_CONNECTOR_MAX_BUFFERED_BYTES',
    type: Type.Integer({ minimum: 65_536 }),
    default: 2 * 1024 * 1024,
    unit: 'bytes',
    desc: 'Memory of the records not acknowledged by the log, about 650 bytes each, past which reading from the database pauses.',
  },
  maxWaitingRows: {
    env: 'LOCKSTEP_CONNECTOR_MAX_WAITING_ROWS',
    type: Type.Integer({ minimum: 1 }),
    default: 50_000,
    desc: 'Rows held at the visibility gate; a transaction that passes it becomes one change per table.',
  },
  bulkRows: {
    env: 'LOCKSTEP_CONNECTOR_BULK_ROWS',
    type: Type.Integer({ minimum: 1 }),
    default: 10_000,
    desc: 'Rows of one table in one transaction after which one change of the whole table stands for the rest.',
  },
  adminHost: {
    env: 'LOCKSTEP_CONNECTOR_ADMIN_HOST',
    type: Type.String({ minLength: 1 }),
    default: '127.0.0.1',
    desc: 'Address of /livez, /readyz, /statusz and /metrics.',
  },
  adminPort: {
    env: 'LOCKSTEP_CONNECTOR_ADMIN_PORT',
    type: Type.Integer({ minimum: 0, maximum: 65_535 }),
    default: 9_101,
    desc: 'Port of /livez, /readyz, /statusz and /metrics; 0 takes a free one.',
  },
  logLevel: SHARED_OPTIONS.logLevel,
} as const satisfies ConfigTable

/** The name under which the connections of a namespace are known to the server. */
export const applicationNameOf = ({ namespace }: { readonly namespace: string }): string => `lockstep ${namespace}`

/** The connector's options, as loaded. */
export type ConnectorConfig = ConfigOf<typeof CONNECTOR_CONFIG>
