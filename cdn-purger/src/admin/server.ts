import { createHash, randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { Logger, TimeSource } from '@lockstep/runtime'
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { AuditLine, AuditLog } from './audit.ts'
import { includesRole, type Authenticator, type Principal, type Role } from './auth.ts'
import { refuse } from './errors.ts'
import { OpenStreams } from './open-streams.ts'
import { openApiOf } from './openapi.ts'
import { answerProblem } from './problems.ts'
import { RateLimiter, type RateLimit } from './rate-limit.ts'
import { route, type AdminRoute, type Answer } from './route.ts'
import { checkOf } from './validation.ts'

/** What the server needs beside its routes. */
export interface AdminServerDeps {
  readonly routes: readonly AdminRoute[]
  readonly authenticator: Authenticator
  readonly audit: AuditLog
  readonly time: TimeSource
  readonly logger: Logger
  readonly limits?: Partial<AdminLimits> | undefined
}

/**
 * How often callers may ask this process; per caller, and per address where the caller is not known. Behind one address,
 * several purgers let in several times as much: a limit in a store would be away when the store is.
 */
export interface AdminLimits {
  readonly reads: RateLimit
  readonly writes: RateLimit
  readonly failures: RateLimit
}

const LIMITS: AdminLimits = {
  // A dashboard of a few panels, refreshed every second, by a few people who share a token.
  reads: { perSecond: 50, burst: 200 },
  writes: { perSecond: 5, burst: 30 },
  // A wrong token is a typing mistake or an attack.
  failures: { perSecond: 0.2, burst: 10 },
}

// A thousand tags of the greatest length, twice escaped, are a megabyte; the usual request is far below this.
const BODY_LIMIT_BYTES = 256 * 1024
const REQUEST_TIMEOUT_MS = 10_000
// Progress and exports go on for minutes.
const STREAM_WAIT_MS = 10_000
const JSON_TYPE = 'application/json'
const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,128}$/

interface Asking {
  principal?: Principal
}

/** Builds the admin API. It answers no preflight and sends no CORS header: browsers of other origins stay out. */
export function buildAdminServer(deps: AdminServerDeps): FastifyInstance {
  const { logger } = deps
  const app = Fastify({
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    return503OnClosing: true,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    genReqId: () => randomUUID(),
    frameworkErrors: (error, _request, reply) => void answerProblem(logger, error, reply),
    routerOptions: { maxParamLength: 200 },
  })
  const stopping = new AbortController()
  app.removeContentTypeParser('text/plain')
  app.addHook('preClose', (done) => {
    stopping.abort()
    done()
  })
  app.setErrorHandler((error: FastifyError, _request, reply) => answerProblem(logger, error, reply))
  const routes = withDocument(deps.routes)
  answerUnknown(app, routes)
  const around = { guard: guardOf(deps), tell: tellerOf(deps), streams: new OpenStreams(), stopping: stopping.signal }
  for (const each of routes) register(app, each, around)
  return app
}

function withDocument(routes: readonly AdminRoute[]): AdminRoute[] {
  const document = openApiOf(routes)
  return [
    ...routes,
    route({
      method: 'GET',
      path: '/v1/openapi.json',
      operationId: 'openapi',
      summary: 'This document',
      role: 'viewer',
      answers: { 200: { description: 'OpenAPI 3.1' } },
      handle: () => Promise.resolve({ status: 200, body: document }),
    }),
  ]
}

/** Tells an address that is not there from a method that the address does not know. */
function answerUnknown(app: FastifyInstance, routes: readonly AdminRoute[]): void {
  const addresses = routes.map(({ method, path }) => ({
    method,
    pattern: new RegExp(`^${path.replaceAll(/[.]/g, '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}/?$`),
  }))
  // Before the body is looked at: what nobody knows needs none.
  app.addHook('onRequest', (request, reply, done) => {
    if (request.is404) refuseUnknown(request, reply)
    done()
  })
  const refuseUnknown = (request: FastifyRequest, reply: FastifyReply): void => {
    const path = request.url.split('?')[0] ?? ''
    const methods = addresses.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method)
    if (methods.length === 0 || methods.includes(request.method as 'GET')) throw refuse('LOCKSTEP_CDN_NOT_FOUND')
    void reply.header('allow', [...new Set(methods)].join(', '))
    throw refuse('LOCKSTEP_CDN_METHOD_NOT_ALLOWED')
  }
}

function limited(reply: FastifyReply, waitMs: number): Error {
  void reply.header('retry-after', String(Math.ceil(waitMs / 1_000)))
  return refuse('LOCKSTEP_CDN_RATE_LIMITED')
}

type Guard = (request: FastifyRequest, reply: FastifyReply, needs: Role) => Promise<Principal>

/** Lets a request in, or refuses it. Whatever cannot be decided is refused. */
function guardOf({ authenticator, time, limits }: AdminServerDeps): Guard {
  const { reads, writes, failures } = { ...LIMITS, ...limits }
  const readLimiter = new RateLimiter(reads, time)
  const writeLimiter = new RateLimiter(writes, time)
  const failureLimiter = new RateLimiter(failures, time)
  return async (request, reply, needs) => {
    if (!failureLimiter.hasRoom(request.ip)) throw limited(reply, 1_000 / failures.perSecond)
    const [, token] = /^Bearer ([\x21-\x7e]{1,8192})$/i.exec(request.headers.authorization ?? '') ?? []
    const principal = token === undefined ? null : await authenticator.authenticate(token)
    if (!principal) {
      failureLimiter.take(request.ip)
      throw refuse('LOCKSTEP_CDN_UNAUTHENTICATED')
    }
    const waitMs = (request.method === 'GET' ? readLimiter : writeLimiter).take(principal.name)
    if (waitMs > 0) throw limited(reply, waitMs)
    ;(request as Asking).principal = principal
    if (!includesRole(principal.role, needs)) throw refuse('LOCKSTEP_CDN_FORBIDDEN', { needed: needs })
    return principal
  }
}

type Tell = (request: FastifyRequest, status: number | null) => Promise<void>

function tellerOf({ audit, time }: AdminServerDeps): Tell {
  return async (request, status) => {
    const { principal } = request as Asking
    if (!principal) return
    const { id: requestId, method, body } = request
    const line: AuditLine = {
      atMs: time.wallMs(),
      requestId,
      actor: principal.name,
      role: principal.role,
      method,
      status,
      path: (request.url.split('?')[0] ?? '').slice(0, 300),
      bodyHash: body === undefined ? '' : createHash('sha256').update(JSON.stringify(body)).digest('hex'),
    }
    await audit.record(line)
  }
}

interface Around {
  readonly guard: Guard
  readonly tell: Tell
  readonly streams: OpenStreams
  readonly stopping: AbortSignal
}

function register(app: FastifyInstance, spec: AdminRoute, { guard, tell, streams, stopping }: Around): void {
  const checks = {
    params: checkOf('params', spec.params),
    query: checkOf('query', spec.query),
    body: checkOf('body', spec.body),
  }
  const isChange = spec.method === 'POST'
  app.route({
    method: spec.method,
    url: spec.path.replaceAll(/\{(\w+)\}/g, ':$1'),
    onRequest: async (request, reply) => void (await guard(request, reply, spec.role)),
    onResponse: async (request, reply) => {
      if (isChange) await tell(request, reply.statusCode)
    },
    handler: async (request, reply) => {
      const { accept = '' } = request.headers
      const call = {
        principal: (request as Asking).principal as Principal,
        params: checks.params(request.params),
        query: checks.query(request.query),
        body: checks.body(request.body),
        idempotencyKey: spec.isIdempotent ? keyOf(request) : undefined,
        accept,
        signal: untilClosed(reply.raw, stopping),
      }
      // Before anything is done: what nobody could look up later must not happen.
      if (isChange) await tell(request, null)
      const answer = await spec.handle(call)
      if (isStream(answer) && !streams.add(call.principal.name, reply.raw)) throw limited(reply, STREAM_WAIT_MS)
      return send(reply, answer)
    },
  })
}

/** Ends what an answer still waits for when nobody listens any more, or the server stops. */
function untilClosed(response: ServerResponse, stopping: AbortSignal): AbortSignal {
  const closed = new AbortController()
  response.once('close', () => closed.abort())
  return AbortSignal.any([closed.signal, stopping])
}

function keyOf(request: FastifyRequest): string | undefined {
  const key = request.headers['idempotency-key']
  if (key === undefined) return undefined
  if (typeof key === 'string' && IDEMPOTENCY_KEY.test(key)) return key
  const detail = 'Idempotency-Key must be 1 to 128 visible ASCII characters'
  throw refuse('LOCKSTEP_CDN_BAD_REQUEST', { detail })
}

const isStream = ({ type = JSON_TYPE }: Answer): boolean => type !== JSON_TYPE

function send(reply: FastifyReply, answer: Answer): FastifyReply {
  const { status, body, type = JSON_TYPE, headers = {} } = answer
  void reply
    .code(status)
    .headers({ 'cache-control': 'no-store', ...headers })
    .type(type)
  const stream = () => Readable.from(body as AsyncIterable<string>, { objectMode: false })
  return reply.send(isStream(answer) ? stream() : JSON.stringify(body))
}
