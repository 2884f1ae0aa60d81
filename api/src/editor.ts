import { createHash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'

/**
 * Names who sends a request: a hash of its credentials, which are never stored. The demo checks nobody's password, any
 * Authorization is an identity of its own. Null without one.
 */
export function editorOf({ headers }: Pick<FastifyRequest, 'headers'>): string | null {
  const { authorization } = headers
  return authorization === undefined ? null : createHash('sha256').update(authorization).digest('base64url')
}
