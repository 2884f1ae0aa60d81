import { traceFieldsOf, withTimeout, type EventLog } from '@lockstep/runtime'
import { Type, type Static } from 'typebox'
import { defineRead } from '../entries.ts'
import { fail } from '../errors.ts'
import type { ModuleDeps, ShopModule } from '../modules.ts'
import { sendMissing } from '../problem.ts'
import { traceOf } from '../request-identity.ts'
import { IdParams, NoQuery, PROBLEMS } from '../routes/schemas.ts'
import { acceptView } from './views.ts'

const ViewsBody = Type.Object({ views: Type.Integer() })
const AcceptedBody = Type.Object({ accepted: Type.Boolean() })

const VIEWS = `select p.id::float8 as id, v.views::float8 as views
  from public.products p left join public.view_counts v on v.product_id = p.id where p.id = $1`

// Longer than a broker takes to fail over between two requests of the client's patience.
const ACCEPT_WITHIN_MS = 3_000

/** Appends to the log, or says that trying again may help. */
export function withinReason(work: () => Promise<void>): Promise<void> {
  const onTimeout = () => fail('LOCKSTEP_API_LOG_UNREACHABLE')
  return withTimeout(() => work(), { ms: ACCEPT_WITHIN_MS, onTimeout }).catch((error: unknown) => {
    throw fail('LOCKSTEP_API_LOG_UNREACHABLE', {}, error)
  })
}

/** Write-behind: 202 once the log has the view; the counter follows when a worker has applied it, and is read through the cache. */
export function viewRoutes(deps: ModuleDeps & { readonly log: EventLog }): ShopModule {
  const views = defineRead(deps.reads, 'views', {
    key: (productId: number) => `views:${productId}`,
    async query({ rows }, productId) {
      const [row] = await rows<{ views: number | null }>('views', VIEWS, [productId])
      return row ? { views: row.views ?? 0 } : null
    },
    tags: (value, productId) => (value && value.views > 0 ? [] : [`product:${productId}`]),
  })
  return (app) => {
    app.get<{ Params: Static<typeof IdParams> }>(
      '/products/:id/views',
      { schema: { params: IdParams, querystring: NoQuery, response: { 200: ViewsBody, ...PROBLEMS } } },
      async (request, reply) => {
        const { id } = request.params
        return (await request.lockstep.read(views, id)) ?? sendMissing(reply, `no product ${id}`)
      },
    )
    app.post<{ Params: Static<typeof IdParams> }>(
      '/products/:id/views',
      {
        config: { asksDatabase: false },
        schema: { params: IdParams, querystring: NoQuery, response: { 202: AcceptedBody, ...PROBLEMS } },
      },
      async (request, reply) => {
        const trace = traceFieldsOf(traceOf(request))
        await withinReason(() => acceptView(deps.log, request.params.id, trace))
        return reply.code(202).send({ accepted: true })
      },
    )
  }
}
