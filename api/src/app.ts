import { fastifyLockstep } from '@lockstep/cache/fastify'
import type { Histogram, Logger } from '@lockstep/runtime'
import Fastify, { type FastifyInstance } from 'fastify'
import { docsRoutes } from './api-docs.ts'
import { limitRoutes, type Limits } from './limits/limit-routes.ts'
import { answerMalformed } from './malformed.ts'
import { openApiOf, recordRoutes } from './openapi.ts'
import { checkDatabaseTurn } from './protection/database-turn.ts'
import { measureRequests } from './protection/measure-requests.ts'
import { refuseUnderPressure, type PressureLimits } from './protection/pressure.ts'
import { answerFailure, handleProblems } from './problem.ts'
import { nameAnswers, requestIds } from './request-identity.ts'
import { explainRoutes } from './routes/explain.ts'
import { readRoutes } from './routes/reads.ts'
import { NoQuery } from './routes/schemas.ts'
import { writeRoutes, type WriteDeps } from './routes/writes.ts'
import type { ShopEntries } from './entries.ts'
import type { ShopModule } from './modules.ts'
import type { RecentChanges } from './ports.ts'
import { loginRoutes, type LoginDeps } from './sessions/login-routes.ts'
import { guardRoutes, type Sessions } from './sessions/session.ts'
import { answerUnknown } from './unknown-routes.ts'
import { compileValidator } from './validation.ts'

/** What the application is made of, and how it answers. */
export interface AppOptions extends WriteDeps, PressureLimits {
  readonly entries: ShopEntries
  readonly recent: RecentChanges
  readonly log: Logger
  /** Takes every answered request: labels `route` and `status_class`. */
  readonly requests?: Histogram | undefined
  /** Routes of the other patterns. */
  readonly modules?: readonly ShopModule[] | undefined
  readonly reboundMs: number
  /** Addresses whose X-Forwarded headers are believed; false for none. */
  readonly trustProxy: string | false
  readonly sessions: Sessions
  /** Nobody can log in here without; sessions from elsewhere count all the same. */
  readonly login?: Omit<LoginDeps, 'sessions'> | undefined
  /** Tells whether the database has a turn in time for what is no load. */
  readonly admits?: (() => boolean) | undefined
  /** Shows the OpenAPI document as a page at `/docs`. */
  readonly hasDocs?: boolean | undefined
  /** Nobody is limited without. */
  readonly limits?: Limits | undefined
}

// The body of the largest legal write is far below this.
const BODY_LIMIT_BYTES = 64 * 1024
const REQUEST_TIMEOUT_MS = 10_000
// Longer than the idle timeout of usual load balancers (60 s), so that the balancer closes first.
const KEEP_ALIVE_TIMEOUT_MS = 65_000

/** Builds the HTTP application; health and metrics live on the admin port, outside its load shedding. */
export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const { log } = options
  const app = Fastify({
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    trustProxy: options.trustProxy,
    return503OnClosing: true,
    forceCloseConnections: 'idle',
    genReqId: requestIds(),
    clientErrorHandler: answerMalformed,
    frameworkErrors: (error, _request, reply) => void answerFailure(log, error, reply),
  })
  app.setValidatorCompiler(compileValidator)
  handleProblems(app, log)
  nameAnswers(app)
  endKeepAliveOnClose(app)
  // Before what may refuse a request: the headers of a refusal are the plugin's work too.
  await app.register(fastifyLockstep, {
    cache: options.cache,
    edgeTtlSeconds: options.edgeTtlSeconds,
    reboundMs: options.reboundMs,
    tokenSecret: options.tokenSecret,
    cacheStatusAlways: true,
  })
  answerTogether(app)
  // Behind it, so that a 304 counts as one; before what may refuse, so that refusals count too.
  if (options.requests) measureRequests(app, options.requests)
  await refuseUnderPressure(app, options)
  const routes = recordRoutes(app)
  if (options.limits) limitRoutes(app, options.limits)
  if (options.admits) checkDatabaseTurn(app, options.admits)
  guardRoutes(app, options.sessions)
  app.get('/openapi.json', { schema: { querystring: NoQuery } }, () => openApiOf(routes))
  if (options.login) loginRoutes(app, { ...options.login, sessions: options.sessions })
  explainRoutes(app, options.cache)
  readRoutes(app, options)
  writeRoutes(app, options)
  for (const addRoutes of options.modules ?? []) addRoutes(app)
  if (options.hasDocs) await docsRoutes(app, openApiOf(routes))
  await answerUnknown(app, routes)
  return app
}

/**
 * Lets the answers of one turn of the event loop leave at its end, one right after the other: a balancer that waits for them
 * is woken once and not for each, which is a fifth of what a hit costs. A loop with nothing else to do is there at once.
 */
function answerTogether(app: FastifyInstance): void {
  app.addHook('onSend', (_request, _reply, payload, done) => void setImmediate(done, null, payload))
}

/** Tells clients whose request is answered during a close to go; else `close` waits until they hang up by themselves. */
function endKeepAliveOnClose(app: FastifyInstance): void {
  let isClosing = false
  app.addHook('preClose', (done) => {
    isClosing = true
    done()
  })
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (isClosing) void reply.header('connection', 'close')
    done(null, payload)
  })
}
