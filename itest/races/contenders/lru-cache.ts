import { LRUCache } from 'lru-cache'
import { TTL_MS, type Contender } from '../contender.ts'

/** `fetchMethod` in one process: there is nothing to share. */
export const lruCache: Contender = {
  name: 'lru-cache',
  hasTags: false,
  isShared: false,
  hasL1: true,
  open({ load }) {
    const cache = new LRUCache<string, number>({ max: 10_000, ttl: TTL_MS, fetchMethod: (id) => load(id) })
    return Promise.resolve({
      get: async (id) => (await cache.fetch(id)) ?? 0,
      invalidate(ids) {
        for (const id of ids) cache.delete(id)
        return Promise.resolve()
      },
      close: () => Promise.resolve(),
    })
  },
}
