import type { TSchema } from 'typebox'
import { ADMIN_ERRORS, type AdminCode } from './errors.ts'
import type { AdminRoute, AnswerSpec } from './route.ts'
import { adminRoutes } from './routes.ts'
import type { AdminDeps } from './deps.ts'
import { ProblemOutput } from './schemas.ts'

const EVERY_ROUTE: readonly AdminCode[] = [
  'LOCKSTEP_CDN_BAD_REQUEST',
  'LOCKSTEP_CDN_UNAUTHENTICATED',
  'LOCKSTEP_CDN_FORBIDDEN',
  'LOCKSTEP_CDN_METHOD_NOT_ALLOWED',
  'LOCKSTEP_CDN_RATE_LIMITED',
  'LOCKSTEP_CDN_ADMIN_FAILED',
  'LOCKSTEP_CDN_JOURNAL_AWAY',
]
const WITH_BODY: readonly AdminCode[] = ['LOCKSTEP_CDN_BODY_TOO_LARGE', 'LOCKSTEP_CDN_UNSUPPORTED_MEDIA']

/** Writes the OpenAPI 3.1 document of the routes: TypeBox's schemas are JSON Schema, which 3.1 takes as it is. */
export function openApiOf(routes: readonly AdminRoute[]): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const route of routes) (paths[route.path] ??= {})[route.method.toLowerCase()] = operationOf(route)
  return {
    openapi: '3.1.0',
    info: {
      title: 'Lockstep CDN purger',
      version: '1',
      description:
        'Purges, replays and the journal. Roles: viewer reads, operator purges and replays, admin may purge everything.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: 'http://127.0.0.1:9413' }],
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'A listed token, or an OIDC JWT.' } },
      schemas: { Problem: ProblemOutput },
    },
  }
}

function operationOf(route: AdminRoute): object {
  const { operationId, summary, role, body } = route
  return {
    operationId,
    summary,
    'x-lockstep-role': role,
    parameters: parametersOf(route),
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: body } } } }),
    responses: {
      ...Object.fromEntries(Object.entries(route.answers).map(([status, answer]) => [status, answerOf(answer)])),
      ...problemsOf(route),
    },
  }
}

function parametersOf({ params, query, isIdempotent }: AdminRoute): object[] {
  const named = (place: string, schema: TSchema | undefined) => {
    const { properties = {}, required = [] } = (schema ?? {}) as {
      properties?: Record<string, object>
      required?: string[]
    }
    return Object.entries(properties).map(([name, property]) => ({
      name,
      in: place,
      required: required.includes(name),
      schema: property,
    }))
  }
  const key = {
    name: 'Idempotency-Key',
    in: 'header',
    required: false,
    description: 'Names the request, so that sending it again does nothing more. Replays need one, dry runs do not.',
    schema: { type: 'string', pattern: '^[\\x21-\\x7e]{1,128}$' },
  }
  return [...named('path', params), ...named('query', query), ...(isIdempotent ? [key] : [])]
}

function answerOf({ description, schema, streams = {} }: AnswerSpec): object {
  const json = schema || Object.keys(streams).length === 0 ? { 'application/json': schema ? { schema } : {} } : {}
  const texts = Object.entries(streams).map(([type, each]) => [type, { schema: streamOf(type, each) }])
  return { description, content: { ...json, ...Object.fromEntries(texts) } }
}

/** The schema of one server-sent event, whose data is JSON; of other streams, that they are text: lines have none in OpenAPI. */
function streamOf(type: string, each: TSchema): object {
  if (type !== 'text/event-stream') return { type: 'string' }
  const data = { type: 'string', contentMediaType: 'application/json', contentSchema: each }
  return { type: 'object', properties: { event: { type: 'string' }, data }, required: ['event', 'data'] }
}

function problemsOf({ body, refusals = [] }: AdminRoute): object {
  const codes = [...EVERY_ROUTE, ...(body ? WITH_BODY : []), ...refusals]
  const byStatus = Map.groupBy(codes, (code) => ADMIN_ERRORS[code].status)
  const answers = [...byStatus].map(([status, same]) => [
    String(status),
    {
      description: [...new Set(same)].join(', '),
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
    },
  ])
  return Object.fromEntries(answers) as object
}

/** The document of the whole admin API. Routes only call what they are made of when they are called. */
export function adminOpenApi(): object {
  return openApiOf(adminRoutes({} as AdminDeps))
}
