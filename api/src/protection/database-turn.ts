import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { refuse } from './refusal.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether every request of a route asks the database; writes and what is below `/me/` unless said. */
    asksDatabase?: boolean
  }
}

function asksDatabase({ url, method, config }: RouteOptions): boolean {
  return config?.asksDatabase ?? (url.startsWith('/me/') || ![method].flat().every((one) => /^(?:GET|HEAD)$/.test(one)))
}

/**
 * Turns away at once who would get no turn at the database: before sessions are verified and bodies parsed, so that ten times
 * of what it can do leaves the process the time to do it. Reads that a layer may answer go on.
 */
export function checkDatabaseTurn(app: FastifyInstance, admits: () => boolean): void {
  app.addHook('onRoute', (route) => {
    if (!asksDatabase(route)) return
    const judge = (request: FastifyRequest, reply: FastifyReply, goOn: () => void): void => {
      if (admits()) goOn()
      else refuse(request, reply)
    }
    route.onRequest = [...[route.onRequest ?? []].flat(), judge]
  })
}
