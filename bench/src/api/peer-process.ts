/**
 * One contestant beside the API, a Fastify of its own: `peer-process NAME PORT REDIS_URL API_URL PRODUCTS`. It answers the
 * products that the API answers, so that all send the same bytes. Prints a line when it listens.
 */
import rateLimit from '@fastify/rate-limit'
import { BentoCache, bentostore } from 'bentocache'
import { memoryDriver } from 'bentocache/drivers/memory'
import { Cacheable } from 'cacheable'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { Loader } from 'layered-loader'

const [name = '', port, redisUrl = '', apiUrl = '', products] = process.argv.slice(2)
const TTL_MS = 3_600_000

const rows = new Map<string, object>()
for (let id = 1; id <= Number(products); id++) {
  rows.set(`${id}`, (await (await fetch(`${apiUrl}/products/${id}`)).json()) as object)
}
// A fresh object each time, as a database driver's.
const load = (id: string): Promise<object | null> => Promise.resolve(structuredClone(rows.get(id) ?? null))

/** Makes the read of each contestant; all keep everything in this process' memory. */
const READS: Readonly<Record<string, () => (id: string) => unknown>> = {
  bare: () => (id) => rows.get(id),
  'rate-limit': () => (id) => rows.get(id),
  'layered-loader': () => {
    const loader = new Loader<object>({
      inMemoryCache: { cacheType: 'lru-object', ttlInMsecs: TTL_MS, maxItems: 10_000 },
      dataSources: [{ name: 'rows', get: load, getMany: () => Promise.reject(new Error('unused')) }],
    })
    return (id) => loader.get(id)
  },
  bentocache: () => {
    const store = bentostore().useL1Layer(memoryDriver({ maxItems: 10_000 }))
    const bento = new BentoCache({ default: 'memory', stores: { memory: store } })
    return (id) => bento.getOrSet({ key: id, ttl: TTL_MS, factory: () => load(id) })
  },
  cacheable: () => {
    const cacheable = new Cacheable({ ttl: TTL_MS })
    return (id) => cacheable.getOrSet(id, () => load(id))
  },
}

const read = READS[name]?.()
if (!read) throw new Error(`no contestant ${name}`)
const app = Fastify()
if (name === 'rate-limit') await app.register(rateLimit, { max: 1_000_000_000, redis: new Redis(redisUrl) })
app.get<{ Params: { id: string } }>('/products/:id', async (request) => await read(request.params.id))
await app.listen({ port: Number(port), host: '127.0.0.1' })
process.stdout.write('listening\n')
