import type { EventEmitter } from 'node:events'
import KeyvRedis from '@keyv/redis'
import { RedisMessageProvider } from '@qified/redis'
import { Cacheable } from 'cacheable'
import { TTL_MS, type CacheUnderTest, type Contender, type Surroundings } from '../contender.ts'

async function open({ host, port, namespace, load, tagsOf }: Surroundings): Promise<CacheUnderTest> {
  const uri = `redis://${host}:${port}`
  const bus = new RedisMessageProvider({ uri })
  const secondary = new KeyvRedis(uri, { namespace })
  const cache = new Cacheable({ namespace, ttl: TTL_MS, secondary, tags: true, sync: { qified: bus } })
  // As its documentation wires it, a bus connection that breaks ends the process: its provider listens to no error and
  // offers nothing to listen to. Here the process may live, so that its reads can be judged.
  const clients = ['pub', 'sub'].map((name) => Reflect.get(bus, name) as EventEmitter)
  for (const emitter of [...clients, cache, secondary]) emitter.on('error', () => undefined)
  await cache.set('warm-up', 0)
  return {
    get: async (id) => {
      const tags = tagsOf(id)
      if (tags.length === 0) return (await cache.getOrSet(id, () => load(id))) ?? 0
      // `getOrSet` takes no tags: the documented way is to set them with the value.
      const known = await cache.get<number>(id)
      if (known !== undefined) return known
      const loaded = await load(id)
      await cache.set(id, loaded, { tags: [...tags] })
      return loaded
    },
    invalidate: async (ids) => void (await cache.deleteMany([...ids])),
    invalidateTag: async (tag) => void (await cache.tags.invalidateTag(tag)),
    close: async () => {
      await cache.disconnect()
      await bus.disconnect()
    },
  }
}

/** A Redis secondary with tags and synchronisation over Redis. */
export const cacheable: Contender = {
  name: 'cacheable',
  hasTags: true,
  isShared: true,
  hasL1: true,
  open,
}
