import { STATUS_CODES } from 'node:http'
import { dispositionOf, type Logger } from '@lockstep/runtime'
import type { FastifyError, FastifyReply } from 'fastify'
import { ADMIN_ERRORS, refuse, type AdminCode } from './errors.ts'

const isAdminCode = (code: unknown): code is AdminCode => typeof code === 'string' && code in ADMIN_ERRORS

/** Fastify's own refusals, in our words. */
function ours(error: FastifyError): Error & { code: AdminCode } {
  const { code, statusCode = 500, message } = error
  if (isAdminCode(code)) return error as Error & { code: AdminCode }
  const made =
    statusCode === 413
      ? refuse('LOCKSTEP_CDN_BODY_TOO_LARGE')
      : statusCode === 415
        ? refuse('LOCKSTEP_CDN_UNSUPPORTED_MEDIA')
        : statusCode < 500
          ? refuse('LOCKSTEP_CDN_BAD_REQUEST', { detail: message })
          : isAway(error)
            ? refuse('LOCKSTEP_CDN_JOURNAL_AWAY', {}, error)
            : refuse('LOCKSTEP_CDN_ADMIN_FAILED', {}, error)
  return made as Error as Error & { code: AdminCode }
}

/** A database or an identity provider that does not answer; a mistake of ours is another thing. */
function isAway(error: unknown): boolean {
  const isMistake = error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError
  return !isMistake && dispositionOf(error) === 'transient'
}

/** Answers a refused or failed request as problem+json (RFC 9457). What failed is logged here and nowhere else. */
export function answerProblem(log: Logger, error: FastifyError, reply: FastifyReply): FastifyReply {
  const { code, message: detail, cause } = ours(error)
  const { status } = ADMIN_ERRORS[code]
  if (status >= 500) log.error({ code, err: cause }, 'admin request failed')
  if (status === 503) void reply.header('retry-after', '1')
  if (status === 401) void reply.header('www-authenticate', 'Bearer')
  return reply
    .code(status)
    .header('cache-control', 'no-store')
    .type('application/problem+json')
    .send({ type: 'about:blank', title: STATUS_CODES[status] ?? 'Error', status, code, detail })
}
