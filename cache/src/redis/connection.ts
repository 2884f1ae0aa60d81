import { Redis, type RedisOptions } from 'ioredis'

/** What decides how a client behaves when Redis does not. */
export interface ConnectionOptions {
  readonly redis: { readonly url: string } | Redis
  readonly commandTimeoutMs: number
  readonly failed: (error: unknown) => void
}

const LONGEST_RECONNECT_MS = 1_000

/**
 * ioredis' defaults queue commands while disconnected and retry for many seconds (10 s measured for one GET after a
 * kill): a cache that waits is an outage, and a fill that is sent late is at best refused.
 */
function clientOptions(options: ConnectionOptions): RedisOptions {
  return {
    // The namespace is the only prefix: writers and readers must agree on every key.
    keyPrefix: '',
    lazyConnect: true,
    enableOfflineQueue: false,
    // With 1 a command in flight when the connection closes is neither sent again nor rejected (5.11.1).
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    commandTimeout: options.commandTimeoutMs,
    connectTimeout: 1_000,
    keepAlive: 10_000,
    retryStrategy: (attempt) => Math.min(20 * 2 ** Math.min(attempt, 6), LONGEST_RECONNECT_MS),
  }
}

/** Opens a client of our own: the caller's options decide where to, ours how. */
export function openClient(options: ConnectionOptions, overrides: RedisOptions = {}): Redis {
  const settings = { ...clientOptions(options), ...overrides }
  const { redis } = options
  const client = 'url' in redis ? new Redis(redis.url, settings) : redis.duplicate(settings)
  // Without a listener ioredis prints to the console.
  client.on('error', options.failed)
  return client
}

/** Waits for the first connection; a failure is not an error, because the client goes on trying. */
export async function tryConnect(client: Redis): Promise<void> {
  await client.connect().catch(() => undefined)
}
