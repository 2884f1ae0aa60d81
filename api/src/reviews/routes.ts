import { Type, type Static } from 'typebox'
import type { ModuleDeps, ShopModule } from '../modules.ts'
import { sendMissing, sendProblem } from '../problem.ts'
import { logFieldsOf } from '../request-identity.ts'
import { IdParams, NoQuery, PROBLEMS, text } from '../routes/schemas.ts'
import { handToken } from '../tokens.ts'
import { addReview, defineReviews } from './reviews.ts'

const Rating = Type.Integer({ minimum: 1, maximum: 5 })
const ReviewBody = Type.Object({ id: Type.Integer(), author: Type.String(), rating: Rating, body: Type.String() })
const NewReviewBody = Type.Object(
  { author: text(100), rating: Rating, body: text(2_000) },
  { additionalProperties: false },
)
const ReviewPageBody = Type.Object({
  count: Type.Integer(),
  average: Type.Union([Type.Number(), Type.Null()]),
  items: Type.Array(ReviewBody),
})

/**
 * Write-path invalidation: the writer fences the tag itself right after its commit, so nobody waits for the log. The log
 * brings the same fence again, and the one of every writer that bypasses this route.
 */
export function reviewRoutes(deps: ModuleDeps): ShopModule {
  const { database, degraded } = deps
  const reviews = defineReviews(deps.reads)
  return (app) => {
    app.get<{ Params: Static<typeof IdParams> }>(
      '/products/:id/reviews',
      { schema: { params: IdParams, querystring: NoQuery, response: { 200: ReviewPageBody, ...PROBLEMS } } },
      async (request, reply) => {
        const { id } = request.params
        return (await request.lockstep.read(reviews, id)) ?? sendMissing(reply, `no product ${id}`)
      },
    )
    app.post<{ Params: Static<typeof IdParams>; Body: Static<typeof NewReviewBody> }>(
      '/products/:id/reviews',
      {
        schema: {
          params: IdParams,
          body: NewReviewBody,
          querystring: NoQuery,
          response: { 201: ReviewBody, ...PROBLEMS },
        },
      },
      async (request, reply) => {
        const { id } = request.params
        const written = await addReview(database, id, request.body)
        if (!written) return sendProblem(reply, 404, `no product ${id}`)
        const stamp = handToken(deps, reply, written.clock)
        // A Redis that is away costs the others the time until the log brings the fence; the own process has it already.
        const failed = (error: unknown): void => degraded(error, 'fencing reviews', logFieldsOf(request))
        if (stamp) await reviews.invalidate(id, stamp).catch(failed)
        return reply.code(201).send(written.row)
      },
    )
  }
}
