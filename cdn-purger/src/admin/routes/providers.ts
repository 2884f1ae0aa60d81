import type { AdminDeps } from '../deps.ts'
import { tagsOf } from '../present.ts'
import { route, type AdminRoute } from '../route.ts'
import { AuditOutput, LimitQuery, listOf, ProviderOutput, VerdictOutput, VerifyInput } from '../schemas.ts'

const PAGE = 100

/** The tiers as they stand, what they serve, and who did what here. */
export function providerRoutes(deps: AdminDeps): AdminRoute[] {
  return [
    route({
      method: 'GET',
      path: '/v1/providers',
      operationId: 'listProviders',
      summary: 'Every provider: limits, what is left of its budget, breaker, backlog, forecast',
      role: 'viewer',
      answers: { 200: { description: 'From the origin outward', schema: listOf(ProviderOutput) } },
      handle: () => Promise.resolve({ status: 200, body: { items: deps.providers() } }),
    }),
    route({
      method: 'POST',
      path: '/v1/verify',
      operationId: 'verify',
      summary: 'Reads a URL through each tier and compares the stamp of the answer with the fences of its tags',
      role: 'operator',
      body: VerifyInput,
      answers: { 200: { description: 'One verdict per tier', schema: listOf(VerdictOutput) } },
      refusals: ['LOCKSTEP_CDN_BAD_TAG'],
      async handle({ body: { path, tags = [] }, signal }) {
        return { status: 200, body: { items: await deps.verify(path, tagsOf(tags), signal) } }
      },
    }),
    route({
      method: 'GET',
      path: '/v1/audit',
      operationId: 'readAudit',
      summary: 'Who changed what here, newest first',
      role: 'admin',
      query: LimitQuery,
      answers: { 200: { description: 'The newest lines', schema: listOf(AuditOutput) } },
      async handle({ query: { limit = PAGE } }) {
        const lines = await deps.audit.read(limit)
        return {
          status: 200,
          body: { items: lines.map(({ atMs, ...line }) => ({ at: new Date(atMs).toISOString(), ...line })) },
        }
      },
    }),
  ]
}
