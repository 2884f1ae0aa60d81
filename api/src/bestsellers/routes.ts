import { Type, type Static } from 'typebox'
import { fail } from '../errors.ts'
import type { ShopModule } from '../modules.ts'
import { ListQuery, NoQuery, PROBLEMS } from '../routes/schemas.ts'
import type { ModelReader } from './read-model.ts'

const BestsellerList = Type.Object({
  items: Type.Array(Type.Object({ productId: Type.Integer(), sold: Type.Integer() })),
})
const CategoryCounts = Type.Object({
  items: Type.Array(Type.Object({ categoryId: Type.Integer(), products: Type.Integer() })),
})

const DEFAULT_LIMIT = 10

/** CQRS: reads that no table answers quickly, from a model that the worker projects. It has no tags, so no layer keeps it. */
export function bestsellerRoutes({ model }: { readonly model: ModelReader }): ShopModule {
  const read = async <T>(question: Promise<T | null>): Promise<T> => {
    const answer = await question.catch((error: unknown) => {
      throw fail('LOCKSTEP_API_NO_READ_MODEL', {}, error)
    })
    if (answer === null) throw fail('LOCKSTEP_API_NO_READ_MODEL')
    return answer
  }
  return (app) => {
    app.get<{ Querystring: Static<typeof ListQuery> }>(
      '/bestsellers',
      { schema: { querystring: ListQuery, response: { 200: BestsellerList, ...PROBLEMS } } },
      async (request, reply) => {
        const items = await read(model.bestsellers(request.query.limit ?? DEFAULT_LIMIT))
        return reply.header('cache-control', 'no-store').send({ items })
      },
    )
    app.get(
      '/category-counts',
      { schema: { querystring: NoQuery, response: { 200: CategoryCounts, ...PROBLEMS } } },
      async (_request, reply) => {
        const counts = await read(model.categoryCounts())
        const items = Object.entries(counts).map(([id, products]) => ({ categoryId: Number(id), products }))
        return reply.header('cache-control', 'no-store').send({ items })
      },
    )
  }
}
