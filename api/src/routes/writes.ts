import { signToken, type Cache } from '@lockstep/cache'
import { stampOf, type Clock } from '@lockstep/schemas'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Static } from 'typebox'
import { editorOf } from '../editor.ts'
import type { ShopWrites } from '../ports.ts'
import { sendProblem } from '../problem.ts'
import { IdParams, NewProductBody, NoQuery, PROBLEMS, ProductBody, ProductChangeBody } from './schemas.ts'

/** What writing routes need. */
export interface WriteDeps {
  readonly cache: Cache
  readonly shop: ShopWrites
  /** Signs tokens. */
  readonly tokenSecret: string
}

/** Header that carries a token both ways. */
export const TOKEN_HEADER = 'lockstep-token'

/** Adds the writes to the database; each answers with a token that later reads may send back. */
export function writeRoutes(app: FastifyInstance, deps: WriteDeps): void {
  const { shop } = deps
  app.post<{ Body: Static<typeof NewProductBody> }>(
    '/products',
    { schema: { body: NewProductBody, querystring: NoQuery, response: { 201: ProductBody, ...PROBLEMS } } },
    async (request, reply) => {
      const { row, clock } = await shop.create(request.body, editorOf(request))
      return handToken(deps, reply, clock).code(201).header('location', `/products/${row.id}`).send(row)
    },
  )
  app.put<{ Params: Static<typeof IdParams>; Body: Static<typeof ProductChangeBody> }>(
    '/products/:id',
    {
      schema: {
        params: IdParams,
        body: ProductChangeBody,
        querystring: NoQuery,
        response: { 200: ProductBody, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const written = await shop.update(request.params.id, request.body, editorOf(request))
      if (!written) return sendProblem(reply, 404, `no product ${request.params.id}`)
      return handToken(deps, reply, written.clock).send(written.row)
    },
  )
  app.delete<{ Params: Static<typeof IdParams> }>(
    '/products/:id',
    { schema: { params: IdParams, querystring: NoQuery, response: PROBLEMS } },
    async (request, reply) => {
      const written = await shop.remove(request.params.id)
      if (!written) return sendProblem(reply, 404, `no product ${request.params.id}`)
      return handToken(deps, reply, written.clock).code(204).send()
    },
  )
}

/** Hands the writer a token: the stamp of a snapshot after its commit, which this process learns as well. */
function handToken({ cache, tokenSecret }: WriteDeps, reply: FastifyReply, clock: Clock): FastifyReply {
  void reply.header('cache-control', 'no-store')
  const generation = cache.generation()
  // Before the first attach nobody can say which epoch the write belongs to: no token rather than a wrong one.
  if (generation === null) return reply
  const stamp = stampOf(generation, clock)
  cache.learn(stamp)
  return reply.header(TOKEN_HEADER, signToken(stamp, tokenSecret))
}
