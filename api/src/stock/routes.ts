import { Type, type Static } from 'typebox'
import { defineRead } from '../entries.ts'
import type { ModuleDeps, ShopModule } from '../modules.ts'
import { sendMissing } from '../problem.ts'
import { IdParams, NoQuery, PROBLEMS } from '../routes/schemas.ts'

/** How much of a product there is, and how much of it was ever sold. */
export interface Stock {
  readonly available: number
  readonly sold: number
}

const StockBody = Type.Object({ available: Type.Integer(), sold: Type.Integer() })

const STOCK = `select coalesce(s.available, 0) as available,
  (select coalesce(sum(quantity), 0)::int from public.sales where product_id = p.id) as sold
  from public.products p left join public.stock s on s.product_id = p.id where p.id = $1`

/** An aggregate of two tables: it hangs on a tag of each, so a delivery and a sale both bring it up to date. */
export function stockRoutes(deps: ModuleDeps): ShopModule {
  const stock = defineRead(deps.reads, 'stock', {
    key: (productId: number) => `stock:${productId}`,
    query: async ({ rows }, productId) => (await rows<Stock>('stock', STOCK, [productId]))[0] ?? null,
    // A product without a line in stock comes and goes by its own row only.
    tags: (value, productId) => [`sold:${productId}`, ...(value?.available ? [] : [`product:${productId}`])],
  })
  return (app) => {
    app.get<{ Params: Static<typeof IdParams> }>(
      '/products/:id/stock',
      { schema: { params: IdParams, querystring: NoQuery, response: { 200: StockBody, ...PROBLEMS } } },
      async (request, reply) => {
        const { id } = request.params
        return (await request.lockstep.read(stock, id)) ?? sendMissing(reply, `no product ${id}`)
      },
    )
  }
}
