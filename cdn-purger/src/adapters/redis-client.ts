import { sentinelOf } from '@lockstep/schemas'
import { Redis, type RedisOptions } from 'ioredis'

/** A Sentinel that hangs must not hold up the question to the next one. */
const SENTINEL_ANSWER_MS = 500
/** A connection that has been silent for so long while it owed an answer is made anew, elsewhere after a failover. */
const SILENT_MS = 2_000

/** Opens a client of a node, or of the master that Sentinels name. */
export function openRedis(url: string, options: RedisOptions): Redis {
  const settings = { socketTimeout: SILENT_MS, sentinelCommandTimeout: SENTINEL_ANSWER_MS, ...options }
  const sentinel = sentinelOf(url)
  return sentinel ? new Redis({ ...sentinel, ...settings }) : new Redis(url, settings)
}
