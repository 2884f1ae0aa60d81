import { randomUUID } from 'node:crypto'
import type { Cache, ReadResult } from '@lockstep/cache'
import type { FastifyInstance } from 'fastify'
import { Type, type Static } from 'typebox'
import { PROBLEMS } from './schemas.ts'

// An address of this service: no other host is asked.
const Query = Type.Object(
  { url: Type.String({ pattern: '^/[^/\\\\]', maxLength: 2_000 }) },
  { additionalProperties: false },
)
const Explained = Type.Object({ url: Type.String(), status: Type.Integer() }, { additionalProperties: true })

const SHOWN = ['cache-status', 'lockstep-stamp', 'surrogate-key', 'cdn-cache-control', 'cache-control', 'etag'] as const
const MARK = 'lockstep-explain'

/**
 * Adds `GET /debug/explain?url=`: asks for a page as a visitor without credentials would, so it may be loaded and kept, and tells
 * what it was read from: keys, tags, stamps, fences, why each layer may serve it or not, and what happened to the keys lately.
 */
export function explainRoutes(app: FastifyInstance, cache: Cache): void {
  // The marks cannot be guessed, so nobody else's request is listened to.
  const listening = new Map<string, readonly ReadResult<unknown>[]>()
  app.addHook('onRoute', (route) => {
    const { handler } = route
    route.handler = function listened(request, reply) {
      const mark = listening.size === 0 ? undefined : request.headers[MARK]
      // Filled while the handler reads.
      if (typeof mark === 'string' && listening.has(mark)) listening.set(mark, request.lockstep.results)
      return handler.call(this, request, reply)
    }
  })
  app.get<{ Querystring: Static<typeof Query> }>(
    '/debug/explain',
    {
      config: { limit: 'admin', access: 'admin' },
      schema: { querystring: Query, response: { 200: Explained, ...PROBLEMS } },
    },
    async (request, reply) => {
      const { url } = request.query
      const mark = randomUUID()
      listening.set(mark, [])
      try {
        const { statusCode: status, headers } = await app.inject({ url, headers: { [MARK]: mark } })
        const reads = (listening.get(mark) ?? []).map(async ({ tags, stamp, layer, ageMs, stale }) => {
          const [key = ''] = tags
          return { key, tags, stamp, layer, ageMs, stale, now: await cache.explain(key) }
        })
        const said = Object.fromEntries(SHOWN.map((name) => [name, headers[name] ?? null]))
        void reply.header('cache-control', 'no-store')
        return { url, status, headers: said, reads: await Promise.all(reads) }
      } finally {
        listening.delete(mark)
      }
    },
  )
}
