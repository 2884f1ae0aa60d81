import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { customerOf } from '../editor.ts'
import type { ShopEntries } from '../entries.ts'
import type { RecentChanges } from '../ports.ts'
import { sendMissing } from '../problem.ts'
import { CategoryList, IdParams, ListQuery, NoQuery, PROBLEMS, ProductBody, ProductList } from './schemas.ts'

/** What reading routes need. */
export interface ReadDeps {
  readonly entries: ShopEntries
  readonly recent: RecentChanges
}

const DEFAULT_LIMIT = 20

/** Adds the reads: products and lists through the cache, personal lists past it. */
export function readRoutes(app: FastifyInstance, { entries, recent }: ReadDeps): void {
  app.get<{ Params: Static<typeof IdParams> }>(
    '/products/:id',
    { schema: { params: IdParams, querystring: NoQuery, response: { 200: ProductBody, ...PROBLEMS } } },
    async (request, reply) => {
      const product = await request.lockstep.read(entries.product, request.params.id)
      return product ?? sendMissing(reply, `no product ${request.params.id}`)
    },
  )
  app.get(
    '/categories',
    { schema: { querystring: NoQuery, response: { 200: CategoryList, ...PROBLEMS } } },
    async (request) => ({ items: await request.lockstep.read(entries.categories, null) }),
  )
  app.get<{ Params: Static<typeof IdParams>; Querystring: Static<typeof ListQuery> }>(
    '/categories/:id/products',
    { schema: { params: IdParams, querystring: ListQuery, response: { 200: ProductList, ...PROBLEMS } } },
    async (request, reply) => {
      const args = { categoryId: request.params.id, limit: request.query.limit ?? DEFAULT_LIMIT }
      const items = await request.lockstep.read(entries.productsOf, args)
      return items ? { items } : sendMissing(reply, `no category ${request.params.id}`)
    },
  )
  app.get(
    '/me/recent',
    { schema: { querystring: NoQuery, response: { 200: ProductList, ...PROBLEMS } } },
    async (request, reply) => ({ items: await recent.changedBy(customerOf(request, reply), DEFAULT_LIMIT) }),
  )
}
