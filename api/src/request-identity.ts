import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { continueTrace, traceLogFields, type TraceContext } from '@lockstep/runtime'
import type { FastifyInstance, FastifyRequest } from 'fastify'

/** The header by which a request is named, in both directions. */
export const REQUEST_ID = 'x-request-id'

// Nothing that would need quoting in a header, a line of a log or an address.
const WELL_FORMED = /^[\w.~-]{1,128}$/

/**
 * Makes the names of requests: the one that a request brings where it is well formed, else this process' own name and a number,
 * which no other request has.
 */
export function requestIds(
  process = randomBytes(6).toString('hex'),
): (request: Pick<IncomingMessage, 'headers'>) => string {
  let count = 0
  return ({ headers }) => {
    const given = headers[REQUEST_ID]
    return typeof given === 'string' && WELL_FORMED.test(given) ? given : `${process}-${(count++).toString(36)}`
  }
}

/** Names the request on its answer. An edge must not store that header: it names one request of many (`edgeVcl`). */
export function nameAnswers(app: FastifyInstance): void {
  app.addHook('onRequest', (request, reply, done) => {
    void reply.header(REQUEST_ID, request.id)
    done()
  })
}

const traces = new WeakMap<FastifyRequest, TraceContext>()

/** This process' part of the request's trace; asked for where something goes on from here, so that a hit costs nothing. */
export function traceOf(request: FastifyRequest): TraceContext {
  let trace = traces.get(request)
  if (trace === undefined) traces.set(request, (trace = continueTrace(request.headers)))
  return trace
}

/** What every line of the log about a request says of it. */
export function logFieldsOf(request: FastifyRequest): object {
  return { requestId: request.id, ...traceLogFields(traceOf(request)) }
}
