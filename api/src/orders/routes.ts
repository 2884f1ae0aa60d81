import { randomUUID } from 'node:crypto'
import { traceFieldsOf, type EventLog } from '@lockstep/runtime'
import { Type, type Static } from 'typebox'
import { customerOf } from '../editor.ts'
import type { ModuleDeps, ShopModule } from '../modules.ts'
import { sendProblem } from '../problem.ts'
import { logFieldsOf, traceOf } from '../request-identity.ts'
import { id, NoQuery, PROBLEMS } from '../routes/schemas.ts'
import { sendOrders } from './order-queue.ts'
import { orderOfCustomer, placeOrder } from './orders.ts'

const Line = Type.Object(
  { productId: id, quantity: Type.Integer({ minimum: 1, maximum: 1_000 }) },
  { additionalProperties: false },
)
const NewOrderBody = Type.Object(
  { lines: Type.Array(Line, { minItems: 1, maxItems: 50 }) },
  { additionalProperties: false },
)
const OrderBody = Type.Object({
  id: Type.String(),
  state: Type.String(),
  reason: Type.Union([Type.String(), Type.Null()]),
  lines: Type.Array(Type.Object({ productId: Type.Integer(), quantity: Type.Integer() })),
})
const OrderParams = Type.Object(
  { id: Type.String({ pattern: '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$' }) },
  { additionalProperties: false },
)
// draft-ietf-httpapi-idempotency-key-header: 400 without a key, 422 where it was used for something else.
const OrderHeaders = Type.Object({ 'idempotency-key': Type.String({ pattern: '^[\\x21-\\x7e]{1,255}$' }) })

/**
 * Queue work: 202 once the order is committed. The same key with the same order answers the first one again; with another
 * order it is refused. A log that is away delays the order, because a worker sends again what has waited too long.
 */
export function orderRoutes(deps: ModuleDeps & { readonly log: EventLog }): ShopModule {
  const { database, log, degraded } = deps
  return (app) => {
    app.post<{ Body: Static<typeof NewOrderBody>; Headers: Static<typeof OrderHeaders> }>(
      '/orders',
      {
        config: { access: 'customer' },
        schema: {
          headers: OrderHeaders,
          body: NewOrderBody,
          querystring: NoQuery,
          response: { 202: OrderBody, ...PROBLEMS },
        },
      },
      async (request, reply) => {
        const customer = customerOf(request, reply)
        const { lines } = request.body
        if (new Set(lines.map(({ productId }) => productId)).size < lines.length)
          return sendProblem(reply, 422, 'name each product once')
        const placed = await placeOrder(database, {
          id: randomUUID(),
          customer,
          key: request.headers['idempotency-key'],
          lines,
        })
        if (placed.kind === 'mismatch')
          return sendProblem(reply, 422, 'this Idempotency-Key was used for another order: choose a new one')
        // Nobody waits for it: what is lost on the way is sent again by the relay.
        if (placed.kind === 'placed')
          sendOrders(log, [placed.order.id], traceFieldsOf(traceOf(request))).catch((error: unknown) =>
            degraded(error, 'sending an order', logFieldsOf(request)),
          )
        else void reply.header('idempotency-replayed', 'true')
        return reply.code(202).header('location', `/orders/${placed.order.id}`).send(placed.order)
      },
    )
    app.get<{ Params: Static<typeof OrderParams> }>(
      '/orders/:id',
      {
        config: { access: 'customer' },
        schema: { params: OrderParams, querystring: NoQuery, response: { 200: OrderBody, ...PROBLEMS } },
      },
      async (request, reply) => {
        const customer = customerOf(request, reply)
        const order = await orderOfCustomer(database, customer, request.params.id)
        return order ?? sendProblem(reply, 404, `no order ${request.params.id}`)
      },
    )
  }
}
