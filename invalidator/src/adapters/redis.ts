import { once } from 'node:events'
import type { Logger } from '@lockstep/runtime'
import { openRedis } from '@lockstep/cache'
import type { Redis } from 'ioredis'

/** What a connection of the writer needs. */
export interface RedisOptions {
  readonly url: string
  readonly namespace: string
  /** Longest wait for one answer, ms. */
  readonly timeoutMs: number
  readonly logger: Logger
}

// Reconnects are cheap and the batch waits for them anyway; a second is what an operator notices.
const MAX_RECONNECT_MS = 1_000

/**
 * Connects a client whose commands fail at once while Redis is away: the batch is repeated as a whole, so nothing may
 * wait in a queue of its own, and nothing may be sent again after a reconnect behind our back.
 */
export function connectRedis({ url, namespace, timeoutMs, logger }: RedisOptions): Redis {
  const redis = openRedis(url, namespace, {
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 1,
    commandTimeout: timeoutMs,
    connectTimeout: timeoutMs,
    // A black hole is noticed by the command's own limit first; this closes the socket behind it.
    socketTimeout: timeoutMs * 2,
    retryStrategy: (attempt) => Math.min(50 * attempt, MAX_RECONNECT_MS),
    connectionName: 'lockstep-invalidator',
  })
  let isDown = false
  redis.on('error', (error: Error) => {
    if (!isDown) logger.warn({ error: error.message }, 'redis is away')
    isDown = true
  })
  redis.on('ready', () => {
    if (isDown) logger.info({}, 'redis is back')
    isDown = false
  })
  return redis
}

/** Waits until the client may be used, at most `withinMs`; an absent Redis is no fault here, every command says so. */
export async function untilReady(redis: Redis, withinMs: number): Promise<void> {
  const late = AbortSignal.timeout(withinMs)
  // Rejects at the deadline and at an `error` event, which is a refused connection.
  if (redis.status !== 'ready') await once(redis, 'ready', { signal: late }).catch(() => undefined)
}
