import { Type, type Static } from 'typebox'
import type { ModuleDeps, ShopModule } from '../modules.ts'
import { sendMissing, sendProblem } from '../problem.ts'
import { logFieldsOf } from '../request-identity.ts'
import { id, IdParams, NoQuery, priceCents, PROBLEMS } from '../routes/schemas.ts'
import { handToken } from '../tokens.ts'
import { definePrices, setPrice } from './prices.ts'

const currency = Type.String({ pattern: '^[A-Z]{3}$' })
const PriceBody = Type.Object({ currency, priceCents: Type.Integer() })
const PriceList = Type.Object({ items: Type.Array(PriceBody) })
const PriceParams = Type.Object({ id, currency }, { additionalProperties: false })
const NewPriceBody = Type.Object({ priceCents }, { additionalProperties: false })

/**
 * Write-through: commit, fence, refill. The next reader of any process finds the new value in Redis instead of loading it;
 * the answer is what was loaded behind the commit.
 */
export function priceRoutes(deps: ModuleDeps): ShopModule {
  const prices = definePrices(deps.reads)
  return (app) => {
    app.get<{ Params: Static<typeof IdParams> }>(
      '/products/:id/prices',
      { schema: { params: IdParams, querystring: NoQuery, response: { 200: PriceList, ...PROBLEMS } } },
      async (request, reply) => {
        const items = await request.lockstep.read(prices, request.params.id)
        return items ? { items } : sendMissing(reply, `no product ${request.params.id}`)
      },
    )
    app.put<{ Params: Static<typeof PriceParams>; Body: Static<typeof NewPriceBody> }>(
      '/products/:id/prices/:currency',
      {
        schema: {
          params: PriceParams,
          body: NewPriceBody,
          querystring: NoQuery,
          response: { 200: PriceList, ...PROBLEMS },
        },
      },
      async (request, reply) => {
        const { id: productId, currency: name } = request.params
        const written = await setPrice(deps.database, productId, { currency: name, ...request.body })
        if (!written) return sendProblem(reply, 404, `no product ${productId}`)
        const stamp = handToken(deps, reply, written.clock)
        if (!stamp) return { items: [written.row] }
        try {
          return { items: (await prices.write(productId, () => Promise.resolve(stamp))) ?? [written.row] }
        } catch (error) {
          // It is committed, and the log fences it: only the refill is lost.
          deps.degraded(error, 'writing prices through', logFieldsOf(request))
          return { items: [written.row] }
        }
      },
    )
  }
}
