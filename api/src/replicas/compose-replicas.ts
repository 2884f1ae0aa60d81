import type { Cache } from '@lockstep/cache'
import { systemTime, type Logger, type MetricsRegistry } from '@lockstep/runtime'
import { openReplica } from '../adapters/pg-replica.ts'
import type { ApiConfig } from '../config.ts'
import type { Database, Sql } from '../database.ts'
import { createDegradationLog } from '../degradation-log.ts'
import { createReplicaMetrics } from '../metrics.ts'
import { primaryOnly, type ReadSource } from './read-source.ts'
import { ReplicaSource } from './replica-source.ts'

/** What replicas are read with. */
export interface ReplicaParts {
  readonly cache: Cache
  readonly database: Database
  readonly log: Logger
  readonly metrics: MetricsRegistry
  /** Tests only, see `ReplicaSourceOptions`. */
  readonly unsafeTrustReplicas?: boolean | undefined
}

/** Where loads read, and how it is closed. */
export interface ComposedSource {
  readonly source: ReadSource<Sql>
  close(): Promise<void>
}

// What a load may lose on a standby that hangs, once a second, before it reads the primary.
const ANSWER_WITHIN_MS = 1_000

/** Opens the standbys that the configuration names; none reads the primary only. */
export function composeSource(config: ApiConfig, parts: ReplicaParts): ComposedSource {
  const { cache, database, metrics } = parts
  const urls = config.replicaUrls.split(',').map((url) => url.trim())
  const replicas = urls
    .filter((url) => url !== '')
    .map((databaseUrl, index) =>
      openReplica(`replica-${index + 1}`, config.namespace, {
        databaseUrl,
        maxConnections: config.databaseConnections,
        statementTimeoutMs: Math.min(config.statementTimeoutMs, ANSWER_WITHIN_MS),
      }),
    )
  if (replicas.length === 0) return { source: primaryOnly<Sql>(database.loads), close: () => Promise.resolve() }
  const degraded = createDegradationLog(parts.log, systemTime)
  const source = new ReplicaSource<Sql>({
    primary: database.loads,
    replicas,
    cache,
    time: systemTime,
    // Half of the contract is left for the load itself and for who joins it.
    maxLagMs: Math.min(config.replicaMaxLagMs, config.maxStalenessMs / 2),
    chosen: createReplicaMetrics(metrics),
    failed: (error, replica) => degraded(error, `reading ${replica}`),
    unsafeTrustReplicas: parts.unsafeTrustReplicas,
  })
  return { source, close: async () => void (await Promise.all(replicas.map((replica) => replica.close()))) }
}
