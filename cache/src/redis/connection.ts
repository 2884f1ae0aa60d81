import { clusterOf, redisKeys, sentinelOf } from '@lockstep/schemas'
import { Redis, type RedisOptions } from 'ioredis'
import { CacheError } from '../errors.ts'
import { slotConnector } from './slot-connector.ts'

/** What decides how a client behaves when Redis does not. */
export interface ConnectionOptions {
  readonly redis: { readonly url: string } | Redis
  readonly namespace: string
  readonly commandTimeoutMs: number
  readonly failed: (error: unknown) => void
}

const CONNECT_MS = 1_000
const LONGEST_RECONNECT_MS = 1_000
/** A Sentinel that hangs must not hold up the question to the next one; ioredis would wait for ever. */
const SENTINEL_ANSWER_MS = 500
/** How long a hung peer may take to close, ms: until then ioredis does not connect again. */
const GOODBYE_MS = 100

/** How a client of ours meets a failover, whatever else it is for. */
const FAILOVER: RedisOptions = {
  sentinelCommandTimeout: SENTINEL_ANSWER_MS,
  // A master that was demoted under us; the command itself is lost, and may be.
  reconnectOnError: ({ message }) => message.startsWith('READONLY'),
}

/**
 * ioredis' defaults queue commands while disconnected and retry for many seconds (10 s measured for one GET after a
 * kill): a cache that waits is an outage, and a fill that is sent late is at best refused.
 */
function clientOptions(options: ConnectionOptions): RedisOptions {
  return {
    ...FAILOVER,
    // The namespace is the only prefix: writers and readers must agree on every key.
    keyPrefix: '',
    lazyConnect: true,
    enableOfflineQueue: false,
    // With 1 a command in flight when the connection closes is neither sent again nor rejected (5.11.1).
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    commandTimeout: options.commandTimeoutMs,
    connectTimeout: CONNECT_MS,
    disconnectTimeout: GOODBYE_MS,
    keepAlive: 10_000,
    retryStrategy: (attempt) => Math.min(20 * 2 ** Math.min(attempt, 6), LONGEST_RECONNECT_MS),
  }
}

/** Opens a client of our own: the caller's options decide where to, ours how. */
export function openClient(options: ConnectionOptions, overrides: RedisOptions = {}): Redis {
  const settings = { ...clientOptions(options), ...overrides }
  const { redis } = options
  if (!('url' in redis) && redis.isCluster) {
    throw new CacheError(
      'LOCKSTEP_CACHE_CONFIG',
      'redis is a client of a cluster; write { url: redis+cluster://HOST:PORT } instead',
    )
  }
  const client = 'url' in redis ? openRedis(redis.url, options.namespace, settings) : redis.duplicate(settings)
  // Without a listener ioredis prints to the console.
  client.on('error', options.failed)
  return client
}

/**
 * Opens a client of whoever holds a namespace: the node of the URL, the master that its Sentinels name, or the master of
 * its cluster where the namespace's slot is. @throws RedisUrlError
 */
export function openRedis(url: string, namespace: string, options: RedisOptions = {}): Redis {
  const settings: RedisOptions = { ...FAILOVER, ...options }
  const sentinel = sentinelOf(url)
  if (sentinel) return new Redis({ ...sentinel, ...settings })
  const cluster = clusterOf(url)
  if (!cluster) return new Redis(url, settings)
  const { username, password, tls } = cluster
  const Connector = slotConnector(cluster, redisKeys(namespace).watermark)
  return new Redis({
    ...(username && { username }),
    ...(password && { password }),
    ...(tls && { tls }),
    ...settings,
    // The slot is elsewhere now.
    reconnectOnError: ({ message }) => message.startsWith('READONLY') || message.startsWith('MOVED'),
    Connector,
  })
}

/** Waits for the first connection, but not for long; a failure is not an error, because the client goes on trying. */
export async function tryConnect(client: Redis): Promise<void> {
  const connected = client.connect().catch(() => undefined)
  // While no Sentinel answers, ioredis neither connects nor fails.
  const late = Promise.withResolvers<void>()
  const timer = setTimeout(late.resolve, CONNECT_MS)
  await Promise.race([connected, late.promise])
  clearTimeout(timer)
}
