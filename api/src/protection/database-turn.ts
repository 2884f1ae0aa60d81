import type { FastifyInstance, RouteOptions } from 'fastify'

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
 * of what it can do leaves the process the time to do it. Reads that a layer may answer go on. `check` throws the refusal.
 */
export function checkDatabaseTurn(app: FastifyInstance, check: () => void): void {
  app.addHook('onRoute', (route) => {
    if (!asksDatabase(route)) return
    const judge = (_request: unknown, _reply: unknown, goOn: (error?: Error) => void): void => {
      try {
        check()
      } catch (error) {
        return goOn(error as Error)
      }
      goOn()
    }
    route.onRequest = [...[route.onRequest ?? []].flat(), judge]
  })
}
