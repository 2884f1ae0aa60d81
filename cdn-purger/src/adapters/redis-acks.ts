import { Redis } from 'ioredis'
import { redisKeys } from '@lockstep/schemas'
import type { ProcessAck, ProcessAcks } from '../ports.ts'

/** How to reach the acknowledgements. */
export interface RedisAcksOptions {
  readonly url: string
  readonly namespace: string
  /** Longest wait for an answer, ms; then the barrier waits for its deadline instead. */
  readonly commandTimeoutMs: number
  readonly onError: (error: Error) => void
}

/** Reads the acknowledgements and Redis' time in one transaction, so that both belong together. */
export function createRedisAcks(options: RedisAcksOptions): ProcessAcks {
  const { url, namespace, commandTimeoutMs, onError } = options
  const key = redisKeys(namespace).acks
  const redis = new Redis(url, {
    commandTimeout: commandTimeoutMs,
    connectTimeout: 1_000,
    maxRetriesPerRequest: 1,
    enableOfflineQueue: true,
    autoResendUnfulfilledCommands: false,
    retryStrategy: (attempt) => Math.min(1_000, 50 * attempt),
  })
  redis.on('error', onError)
  return {
    read: async () => {
      const replies = await redis.multi().time().hgetall(key).exec()
      const [time, acks] = replies ?? []
      if (!time || !acks || time[0] || acks[0])
        throw new Error('acknowledgements not readable', { cause: time?.[0] ?? acks?.[0] })
      const [seconds, micros] = time[1] as [string | number, string | number]
      const nowMs = Number(seconds) * 1000 + Number(micros) / 1000
      return { nowMs, acks: Object.entries(acks[1] as Record<string, string>).flatMap(parseAck) }
    },
    close: async () => {
      redis.disconnect()
      await Promise.resolve()
    },
  }
}

/** An acknowledgement that cannot be read is one of a process that has applied nothing and lives. */
function parseAck([process, text]: [string, string]): ProcessAck[] {
  try {
    const { id, at } = JSON.parse(text) as { id?: unknown; at?: unknown }
    if (typeof id === 'string' && typeof at === 'number') return [{ process, busId: id, atMs: at }]
  } catch {
    // Falls through: the text is no JSON.
  }
  return [{ process, busId: '0-0', atMs: Number.POSITIVE_INFINITY }]
}
