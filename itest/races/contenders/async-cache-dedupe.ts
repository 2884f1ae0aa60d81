import { createCache } from 'async-cache-dedupe'
import { Redis } from 'ioredis'
import { TTL_MS, type CacheUnderTest, type Contender, type Surroundings } from '../contender.ts'

const TTL_S = TTL_MS / 1000

function open({ host, port, namespace, load, tagsOf }: Surroundings): Promise<CacheUnderTest> {
  const client = new Redis({ host, port, keyPrefix: '' })
  client.on('error', () => undefined)
  // Its keys carry only the name of the function, so the name carries the namespace.
  const cache = createCache({
    ttl: TTL_S,
    storage: { type: 'redis', options: { client, invalidation: { referencesTTL: TTL_S } } },
  })
  const references = (id: string): string[] => [id, ...tagsOf(id)].map((tag) => `${namespace}:${tag}`)
  cache.define(namespace, { references }, (id: string) => load(id))
  const invalidate = (tags: readonly string[]): Promise<void> =>
    cache.invalidateAll(tags.map((tag) => `${namespace}:${tag}`))
  return Promise.resolve({
    get: (id) => (cache as unknown as Record<string, (id: string) => Promise<number>>)[namespace]?.(id) ?? 0,
    invalidate,
    invalidateTag: (tag: string) => invalidate([tag]),
    close: () => Promise.resolve(client.disconnect()),
  } as CacheUnderTest)
}

/** Redis storage with references; it keeps nothing in the process. */
export const asyncCacheDedupe: Contender = {
  name: 'async-cache-dedupe',
  hasTags: true,
  isShared: true,
  hasL1: false,
  open,
}
