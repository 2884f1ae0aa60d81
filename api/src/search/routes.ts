import { Type, type Static } from 'typebox'
import { COLUMNS } from '../adapters/pg-shop.ts'
import { defineRead } from '../entries.ts'
import type { ModuleDeps, ShopModule } from '../modules.ts'
import type { Product } from '../ports.ts'
import { ProductList, PROBLEMS, text } from '../routes/schemas.ts'

const SearchQuery = Type.Object(
  { q: text(50), limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })) },
  { additionalProperties: false },
)

const SEARCH = `select ${COLUMNS} from public.products where lower(name) like $1 order by lower(name), id limit $2`
const DEFAULT_LIMIT = 20

/** One page of hits. */
interface SearchArgs {
  readonly prefix: string
  readonly limit: number
}

/**
 * Search pages: which products a page names hangs on `search`, which a new, renamed or deleted product fences; what it says of
 * each hangs on that product's own tag. A page without hits is an answer like any other.
 */
export function searchRoutes(deps: ModuleDeps): ShopModule {
  const hits = defineRead(deps.reads, 'search', {
    // What is in lower case is one page. The sign keeps a search for `*` from looking like the class of all searches.
    key: ({ prefix, limit }: SearchArgs) => `search:${limit}:=${encodeURIComponent(prefix)}`,
    query: ({ rows }, { prefix, limit }) =>
      rows<Product>('search', SEARCH, [`${prefix.replaceAll(/[\\%_]/g, '\\$&')}%`, limit]),
    tags: (found) => ['search', ...(found ?? []).map(({ id }) => `product:${id}`)],
  })
  return (app) => {
    app.get<{ Querystring: Static<typeof SearchQuery> }>(
      '/search',
      { schema: { querystring: SearchQuery, response: { 200: ProductList, ...PROBLEMS } } },
      async (request) => {
        const { q, limit = DEFAULT_LIMIT } = request.query
        return { items: (await request.lockstep.read(hits, { prefix: q.toLowerCase(), limit })) ?? [] }
      },
    )
  }
}
