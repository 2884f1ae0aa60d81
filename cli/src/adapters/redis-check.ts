import { maskUrl } from '@lockstep/runtime'
import { sentinelOf } from '@lockstep/schemas'
import { Redis, type RedisOptions } from 'ioredis'
import { fail } from '../errors.ts'

const CONNECT_MS = 2_000

/** Makes sure that Redis answers before anything is created elsewhere. @throws LOCKSTEP_CLI_REDIS_UNREACHABLE. */
export async function assertRedis(url: string): Promise<void> {
  const settings: RedisOptions = {
    lazyConnect: true,
    connectTimeout: CONNECT_MS,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    sentinelRetryStrategy: () => null,
    sentinelCommandTimeout: CONNECT_MS,
  }
  const sentinel = sentinelOf(url)
  const redis = sentinel ? new Redis({ ...sentinel, ...settings }) : new Redis(url, settings)
  // The rejected connect says only that the connection is closed; this event says why.
  let reason = ''
  redis.on('error', (error) => (reason ||= error.message))
  try {
    await redis.connect()
    await redis.ping()
  } catch (cause) {
    throw fail(
      'LOCKSTEP_CLI_REDIS_UNREACHABLE',
      { url: maskUrl(url), reason: reason || (cause as Error).message },
      cause,
    )
  } finally {
    redis.disconnect()
  }
}
