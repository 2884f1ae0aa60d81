import swagger, { type StaticDocumentSpec } from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'

// Nothing but its own files and the API it describes: no inline script, no validator elsewhere, no frame.
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/**
 * Shows the document as a page at `/docs` (Swagger UI). Its own files may be kept and are revalidated each time; what says
 * something of this process' routes is asked for each time.
 */
export async function docsRoutes(app: FastifyInstance, document: object): Promise<void> {
  await app.register(swagger, { mode: 'static', specification: { document } as StaticDocumentSpec })
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: POLICY,
    uiConfig: { validatorUrl: null },
    uiHooks: {
      onRequest(_request, reply, next) {
        void reply.header('cache-control', 'no-cache')
        next()
      },
    },
  })
}
