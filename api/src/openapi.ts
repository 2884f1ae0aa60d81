import { STATUS_CODES } from 'node:http'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { Problem } from './routes/schemas.ts'
import { accessOf } from './sessions/session.ts'

type Schema = { readonly properties?: Record<string, object>; readonly required?: readonly string[] }

const PROBLEM = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } }

const ANYTHING = { 'application/json': {} }

/** Notes every route that is added from now on. */
export function recordRoutes(app: FastifyInstance): RouteOptions[] {
  const routes: RouteOptions[] = []
  app.addHook('onRoute', (route) => void routes.push(route))
  return routes
}

/** Writes the OpenAPI 3.1 document of routes: TypeBox's schemas are JSON Schema, which 3.1 takes as it is. */
export function openApiOf(routes: readonly RouteOptions[]): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const route of routes.filter(({ schema }) => !isHidden(schema))) {
    const path = route.url.replaceAll(/:(\w+)/g, '{$1}')
    for (const method of [route.method].flat().filter((name) => name !== 'HEAD')) {
      ;(paths[path] ??= {})[method.toLowerCase()] = operationOf(route, method)
    }
  }
  const bearer = { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'What POST /login answers.' }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Lockstep demo shop',
      version: '1',
      description: 'A shop whose every cache layer is kept in step with its database.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths,
    components: { securitySchemes: { bearer }, schemas: { Problem } },
  }
}

/** What Fastify's plugins say of their own routes. */
const isHidden = (schema: object | undefined): boolean =>
  (schema as { readonly hide?: boolean } | undefined)?.hide === true

function operationOf(route: RouteOptions, method: string): object {
  const schema = route.schema ?? {}
  const access = accessOf(route)
  const body =
    schema.body === undefined ? undefined : { required: true, content: { 'application/json': { schema: schema.body } } }
  return {
    operationId: operationIdOf(method, route.url),
    ...(access === 'anyone' ? {} : { security: [{ bearer: [] }], 'x-lockstep-role': access }),
    parameters: [
      ...parametersOf('path', schema.params),
      ...parametersOf('query', schema.querystring),
      ...parametersOf('header', schema.headers),
    ],
    ...(body === undefined ? {} : { requestBody: body }),
    responses: responsesOf(method, (schema.response ?? {}) as Record<string, object>),
  }
}

/** `GET /categories/:id/products` is `getCategoriesIdProducts`. */
function operationIdOf(method: string, url: string): string {
  const words = url.split(/[/:.-]+/).filter(Boolean)
  return method.toLowerCase() + words.map((word) => word[0]?.toUpperCase() + word.slice(1)).join('')
}

function parametersOf(place: 'path' | 'query' | 'header', schema: unknown): object[] {
  const { properties = {}, required = [] } = (schema ?? {}) as Schema
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: place,
    required: required.includes(name),
    schema: property,
  }))
}

function responsesOf(method: string, declared: Record<string, object>): object {
  const isProblem = (status: string): boolean => /^[45]/.test(status)
  const successes = Object.entries(declared)
    .filter(([status]) => !isProblem(status))
    .map(([status, schema]) => [
      status,
      { description: STATUS_CODES[status] ?? 'Success', content: { 'application/json': { schema } } },
    ])
  const done =
    method === 'DELETE' ? ['204', { description: 'Done.' }] : ['200', { description: 'OK', content: ANYTHING }]
  const unsaid = successes.length === 0 ? [done] : []
  const known = method === 'GET' ? [['304', { description: 'The answer that the client has still holds.' }]] : []
  const problems = ['4XX', '5XX'].map((status) => [status, { description: 'A problem (RFC 9457).', content: PROBLEM }])
  return Object.fromEntries([...successes, ...unsaid, ...known, ...problems]) as object
}
