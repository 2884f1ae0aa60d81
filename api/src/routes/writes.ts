import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { editorOf } from '../editor.ts'
import type { ShopWrites } from '../ports.ts'
import { sendProblem } from '../problem.ts'
import { handToken, type TokenDeps } from '../tokens.ts'
import { IdParams, NewProductBody, NoQuery, PROBLEMS, ProductBody, ProductChangeBody } from './schemas.ts'

/** What writing routes need. */
export interface WriteDeps extends TokenDeps {
  readonly shop: ShopWrites
}

/** Adds the writes to the database; each answers with a token that later reads may send back. */
export function writeRoutes(app: FastifyInstance, deps: WriteDeps): void {
  const { shop } = deps
  app.post<{ Body: Static<typeof NewProductBody> }>(
    '/products',
    { schema: { body: NewProductBody, querystring: NoQuery, response: { 201: ProductBody, ...PROBLEMS } } },
    async (request, reply) => {
      const { row, clock } = await shop.create(request.body, editorOf(request))
      handToken(deps, reply, clock)
      return reply.code(201).header('location', `/products/${row.id}`).send(row)
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
      handToken(deps, reply, written.clock)
      return reply.send(written.row)
    },
  )
  app.delete<{ Params: Static<typeof IdParams> }>(
    '/products/:id',
    { schema: { params: IdParams, querystring: NoQuery, response: PROBLEMS } },
    async (request, reply) => {
      const written = await shop.remove(request.params.id)
      if (!written) return sendProblem(reply, 404, `no product ${request.params.id}`)
      handToken(deps, reply, written.clock)
      return reply.code(204).send()
    },
  )
}
