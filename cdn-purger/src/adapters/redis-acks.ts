import { redisKeys } from '@lockstep/schemas'
import type { ProcessAck, ProcessAcks } from '../ports.ts'
import { openRedis } from './redis-client.ts'

/** How to reach the acknowledgements. */
export interface RedisAcksOptions {
  readonly url: string
  readonly namespace: string
  /** Longest wait for an answer, ms; then the barrier waits for its deadline instead. */
  readonly commandTimeoutMs: number
  readonly onError: (error: Error) => void
}

// The time is that of the node that holds the key: those of a cluster have a clock each.
const READ = "#!lua flags=no-writes\nreturn {redis.call('TIME'), redis.call('HGETALL', KEYS[1])}"

const CONNECTION = { connectTimeout: 1_000, retryStrategy: (attempt: number) => Math.min(1_000, 50 * attempt) }

/** Reads the acknowledgements and Redis' time; whoever acknowledges also publishes under the name of the key. */
export function createRedisAcks(options: RedisAcksOptions): ProcessAcks {
  const { url, namespace, commandTimeoutMs, onError } = options
  const key = redisKeys(namespace).acks
  const redis = openRedis(url, {
    ...CONNECTION,
    commandTimeout: commandTimeoutMs,
    maxRetriesPerRequest: 1,
    enableOfflineQueue: true,
    autoResendUnfulfilledCommands: false,
  })
  redis.on('error', onError)
  const hints = openHints(url, key, onError)
  return {
    read: async () => {
      const [[seconds, micros], fields] = (await redis.eval(READ, 1, key)) as [[string, string], string[]]
      const nowMs = Number(seconds) * 1000 + Number(micros) / 1000
      const acks = fields.flatMap((process, index) =>
        index % 2 === 0 ? parseAck(process, fields[index + 1] ?? '') : [],
      )
      return { nowMs, acks }
    },
    onHint: (listener) => void hints.on('message', listener),
    close: async () => {
      redis.disconnect()
      hints.disconnect()
      await Promise.resolve()
    },
  }
}

/** Subscribes for as long as the connection lives, also where Redis is away at first. A user that may not is polled for. */
function openHints(url: string, channel: string, onError: (error: Error) => void): ReturnType<typeof openRedis> {
  const hints = openRedis(url, { ...CONNECTION, maxRetriesPerRequest: null })
  hints.on('error', onError)
  hints.subscribe(channel).catch(onError)
  return hints
}

/** An acknowledgement that cannot be read is one of a process that has applied nothing and lives. */
function parseAck(process: string, text: string): ProcessAck[] {
  try {
    const { id, at } = JSON.parse(text) as { id?: unknown; at?: unknown }
    if (typeof id === 'string' && typeof at === 'number') return [{ process, busId: id, atMs: at }]
  } catch {
    // Falls through: the text is no JSON.
  }
  return [{ process, busId: '0-0', atMs: Number.POSITIVE_INFINITY }]
}
