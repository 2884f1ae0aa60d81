import { classOf, maxStamp, redisKeys, STAMP_LENGTH, ZERO_STAMP } from '@lockstep/schemas'
import type { Stamp, Tag } from '@lockstep/schemas'
import { openRedis } from './redis-client.ts'

/** Reads fences, for judging what an edge serves. */
export interface RedisFences {
  /** The greatest fence of the tags, their classes and `*`. Rejects when Redis does not answer. */
  greatest(tags: readonly Tag[]): Promise<Stamp>
  close(): void
}

/** Opens a connection of its own: what an operator asks must not wait behind the barrier, nor it behind him. */
export function createRedisFences(url: string, namespace: string, onError: (error: Error) => void): RedisFences {
  const keys = redisKeys(namespace)
  const redis = openRedis(url, { lazyConnect: true, commandTimeout: 1_000, maxRetriesPerRequest: 1 })
  redis.on('error', onError)
  return {
    async greatest(tags) {
      const classes = [...new Set(tags.map((tag) => `c:${classOf(tag)}`))]
      const coarse = await redis.hmget(keys.watermark, '*', ...classes)
      // One by one: in a cluster each fence lies in a slot of its own.
      const fine = await Promise.all(tags.map(async (tag) => redis.get(keys.fence(tag))))
      return [...coarse, ...fine]
        .map((text) => (text ?? ZERO_STAMP).slice(0, STAMP_LENGTH) as Stamp)
        .reduce(maxStamp, ZERO_STAMP)
    },
    close: () => redis.disconnect(),
  }
}
