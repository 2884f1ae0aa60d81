import { STATUS_CODES } from 'node:http'
import { dispositionOf, type Logger } from '@lockstep/runtime'
import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify'
import { refuse, RETRY_AFTER_SECONDS } from './protection/refusal.ts'
import { logFieldsOf, REQUEST_ID } from './request-identity.ts'

/** The body of a problem (RFC 9457). */
export function problemOf(status: number, detail?: string): object {
  const title = STATUS_CODES[status] ?? 'Error'
  return { type: 'about:blank', title, status, ...(detail === undefined ? {} : { detail }) }
}

/** Answers with problem+json that no cache may store, and that therefore may name the request. */
export function sendProblem(reply: FastifyReply, status: number, detail?: string): FastifyReply {
  const requestId = reply.request.id
  return reply
    .code(status)
    .header('cache-control', 'no-store')
    .header(REQUEST_ID, requestId)
    .type('application/problem+json')
    .send({ ...problemOf(status, detail), requestId })
}

/** A missing thing is an answer like any other: tagged and cacheable, so that its INSERT purges it, and of no one request. */
export function sendMissing(reply: FastifyReply, detail: string): FastifyReply {
  return reply.code(404).type('application/problem+json').send(problemOf(404, detail))
}

/** Fastify's own errors say their status; ours say whether trying again helps. */
function statusOf(error: FastifyError): number {
  if (error.statusCode !== undefined && error.statusCode >= 400) return error.statusCode
  const { code } = error
  if (code === 'LOCKSTEP_API_UNKNOWN_CATEGORY' || code === 'LOCKSTEP_API_UNKNOWN_PRODUCT') return 422
  const isOurs = typeof code === 'string' && code.startsWith('LOCKSTEP_')
  const canRetry = isOurs && ['transient', 'aborted'].includes(dispositionOf(error))
  return canRetry ? 503 : 500
}

// Refusing under load is counted, not logged: each line would add to the load.
const REFUSALS: ReadonlySet<string> = new Set(['LOCKSTEP_CACHE_OVERLOADED', 'LOCKSTEP_API_DATABASE_BUSY'])

/** Answers a failed request; the error is logged here and nowhere else. */
export function answerFailure(log: Logger, error: FastifyError, reply: FastifyReply): FastifyReply {
  const status = statusOf(error)
  if (status === 503) {
    log.warn({ err: error, ...logFieldsOf(reply.request) }, 'request not served')
    if (!reply.hasHeader('retry-after')) void reply.header('retry-after', RETRY_AFTER_SECONDS)
  } else if (status >= 500) {
    log.error({ err: error, ...logFieldsOf(reply.request) }, 'request failed')
  }
  // What went wrong inside is nobody's business outside.
  return sendProblem(reply, status, status < 500 ? error.message : undefined)
}

/** Makes every error of the application a problem. */
export function handleProblems(app: FastifyInstance, log: Logger): void {
  app.setErrorHandler((error: FastifyError, request, reply) =>
    REFUSALS.has(error.code) ? refuse(request, reply) : answerFailure(log, error, reply),
  )
}
