import { maskUrl } from '@lockstep/runtime'
import { Redis } from 'ioredis'
import { fail } from '../errors.ts'

const CONNECT_MS = 2_000

/** Makes sure that Redis answers before anything is created elsewhere. @throws LOCKSTEP_CLI_REDIS_UNREACHABLE. */
export async function assertRedis(url: string): Promise<void> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: CONNECT_MS,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  })
  // Reported by the rejected connect below.
  redis.on('error', () => undefined)
  try {
    await redis.connect()
    await redis.ping()
  } catch (cause) {
    throw fail('LOCKSTEP_CLI_REDIS_UNREACHABLE', { url: maskUrl(url) }, cause)
  } finally {
    redis.disconnect()
  }
}
