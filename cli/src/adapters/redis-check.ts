import { openRedis } from '@lockstep/cache'
import { maskUrl } from '@lockstep/runtime'
import { fail } from '../errors.ts'

const CONNECT_MS = 2_000

/** Makes sure that Redis answers before anything is created elsewhere. @throws LOCKSTEP_CLI_REDIS_UNREACHABLE. */
export async function assertRedis(url: string, namespace: string): Promise<void> {
  const redis = openRedis(url, namespace, {
    lazyConnect: true,
    connectTimeout: CONNECT_MS,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    sentinelRetryStrategy: () => null,
  })
  // The rejected connect says only that the connection is closed; this event says why.
  let reason = ''
  redis.on('error', (error) => (reason ||= error.message))
  try {
    await within(CONNECT_MS, redis.connect())
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

/** A cluster is looked for until it is found. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${ms} ms`)), ms)
  await Promise.race([work, late.promise]).finally(() => clearTimeout(timer))
}
