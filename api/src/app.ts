import underPressure from '@fastify/under-pressure'
import { fastifyLockstep } from '@lockstep/cache/fastify'
import Fastify, { type FastifyInstance } from 'fastify'
import { handleProblems } from './problem.ts'
import { readRoutes, writeRoutes, type RouteDeps } from './routes/products.ts'

/** How the application answers. */
export interface AppOptions extends RouteDeps {
  readonly edgeTtlSeconds: number
  readonly reboundMs: number
  /** Addresses whose X-Forwarded headers are believed; false for none. */
  readonly trustProxy: string | false
  /** Above this event-loop delay (ms) requests are refused with 503. 0 switches the check off. */
  readonly maxEventLoopDelayMs: number
}

// The body of the largest legal write is far below this.
const BODY_LIMIT_BYTES = 64 * 1024
const REQUEST_TIMEOUT_MS = 10_000
// Longer than the idle timeout of usual load balancers (60 s), so that the balancer closes first.
const KEEP_ALIVE_TIMEOUT_MS = 65_000

/** Builds the HTTP application; health and metrics live on the admin port, outside its load shedding. */
export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const app = Fastify({
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    trustProxy: options.trustProxy,
    return503OnClosing: true,
    forceCloseConnections: 'idle',
    ajv: { customOptions: { removeAdditional: false, coerceTypes: true } },
  })
  handleProblems(app)
  if (options.maxEventLoopDelayMs > 0) {
    await app.register(underPressure, {
      maxEventLoopDelay: options.maxEventLoopDelayMs,
      eventLoopUtilizationMode: 'interval',
      retryAfter: 1,
    })
  }
  await app.register(fastifyLockstep, {
    cache: options.cache,
    edgeTtlSeconds: options.edgeTtlSeconds,
    reboundMs: options.reboundMs,
    tokenSecret: options.tokenSecret,
  })
  readRoutes(app, options)
  writeRoutes(app, options)
  return app
}
