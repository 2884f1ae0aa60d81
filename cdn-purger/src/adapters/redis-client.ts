import { clusterOf, sentinelOf } from '@lockstep/schemas'
import { Cluster, Redis, type RedisOptions } from 'ioredis'

/** A Sentinel that hangs must not hold up the question to the next one. */
const SENTINEL_ANSWER_MS = 500
/** A connection that has been silent for so long while it owed an answer is made anew, elsewhere after a failover. */
const SILENT_MS = 2_000

/** Opens a client of a node, of the master that Sentinels name, or of a cluster; in the last case each command names one key. */
export function openRedis(url: string, options: RedisOptions): Redis | Cluster {
  const settings = { socketTimeout: SILENT_MS, sentinelCommandTimeout: SENTINEL_ANSWER_MS, ...options }
  const sentinel = sentinelOf(url)
  if (sentinel) return new Redis({ ...sentinel, ...settings })
  const cluster = clusterOf(url)
  if (!cluster) return new Redis(url, settings)
  const { nodes, ...credentials } = cluster
  const { lazyConnect = false, ...redisOptions } = settings
  return new Cluster([...nodes], { lazyConnect, redisOptions: { ...credentials, ...redisOptions } })
}
