import { Type, type Static } from 'typebox'
import { customerOf } from '../editor.ts'
import type { ModuleDeps, ShopModule } from '../modules.ts'
import { sendProblem } from '../problem.ts'
import { id, NoQuery, PROBLEMS } from '../routes/schemas.ts'

const quantity = Type.Integer({ minimum: 0, maximum: 1_000 })
const CartBody = Type.Object({
  items: Type.Array(Type.Object({ productId: Type.Integer(), quantity: Type.Integer() })),
})
const CartParams = Type.Object({ productId: id }, { additionalProperties: false })
const CartLine = Type.Object({ quantity }, { additionalProperties: false })

const CART = `select product_id::float8 as "productId", quantity from public.carts where customer = $1 order by product_id`
const PUT = `insert into public.carts (customer, product_id, quantity)
  select $1, id, $3::int from public.products where id = $2
  on conflict (customer, product_id) do update set quantity = excluded.quantity returning quantity`
const REMOVE = `delete from public.carts where customer = $1 and product_id = $2 returning quantity`

/** Personal answers: read past every cache on the primary, `private, no-store`, on no tag at all. */
export function cartRoutes({ database }: ModuleDeps): ShopModule {
  return (app) => {
    app.get(
      '/me/cart',
      { schema: { querystring: NoQuery, response: { 200: CartBody, ...PROBLEMS } } },
      async (request, reply) => ({ items: await database.rows('cart', CART, [customerOf(request, reply)]) }),
    )
    app.put<{ Params: Static<typeof CartParams>; Body: Static<typeof CartLine> }>(
      '/me/cart/:productId',
      {
        schema: {
          params: CartParams,
          body: CartLine,
          querystring: NoQuery,
          response: { 200: CartBody, ...PROBLEMS },
        },
      },
      async (request, reply) => {
        const customer = customerOf(request, reply)
        const { productId } = request.params
        const { quantity: count } = request.body
        const done = await database.rows<{ quantity: number }>(
          count === 0 ? 'cart-remove' : 'cart-put',
          count === 0 ? REMOVE : PUT,
          count === 0 ? [customer, productId] : [customer, productId, count],
        )
        if (done.length === 0 && count > 0) return sendProblem(reply, 404, `no product ${productId}`)
        return { items: await database.rows('cart', CART, [customer]) }
      },
    )
  }
}
