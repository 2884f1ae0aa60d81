import type { Histogram } from '@lockstep/runtime'
import type { FastifyInstance, FastifyRequest } from 'fastify'

declare module 'fastify' {
  interface FastifyRequest {
    /** Monotonic ms; 0 where nobody measures. */
    arrivedAt: number
    /** Counts the answer, for who sends it past `onSend`; absent where nobody measures. */
    noteAnswer?(statusCode: number): void
  }
}

type Observe = (seconds: number) => void

/**
 * Notes each answer by the pattern of its route (a path would be a label of its own per product) when it is handed to the
 * socket. Not in `onResponse`: waiting for the socket costs listeners and timers of every request, a tenth of a hit.
 */
export function measureRequests(app: FastifyInstance, requests: Histogram): void {
  const routes = new Map<string, Observe[]>()
  app.decorateRequest('arrivedAt', 0)
  app.addHook('onRequest', (request, _reply, done) => {
    request.arrivedAt = performance.now()
    done()
  })
  app.decorateRequest('noteAnswer', function (this: FastifyRequest, statusCode: number) {
    const route = this.routeOptions.url ?? 'unmatched'
    let byClass = routes.get(route)
    if (byClass === undefined) routes.set(route, (byClass = []))
    const statusClass = Math.floor(statusCode / 100)
    const observe = (byClass[statusClass] ??= requests.with({ route, status_class: `${statusClass}xx` }))
    observe((performance.now() - this.arrivedAt) / 1_000)
  })
  app.addHook('onSend', (request, reply, payload, done) => {
    request.noteAnswer?.(reply.statusCode)
    done(null, payload)
  })
}
