import type { FastifyReply, FastifyRequest } from 'fastify'

/** Names who sends a request: the account of a verified session. Null without one. */
export function editorOf({ session }: Pick<FastifyRequest, 'session'>): string | null {
  return session?.subject ?? null
}

/** Names the customer on a route that is for customers, and has no layer keep what the answer says. */
export function customerOf({ session }: Pick<FastifyRequest, 'session'>, reply: FastifyReply): string {
  // Said here too: the plugin derives it from the credentials, which another way to sign in might not send.
  void reply.header('cache-control', 'private, no-store')
  if (session === null) throw new TypeError('a route without `access` has no customer')
  return session.subject
}
