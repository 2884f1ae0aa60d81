import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { sendProblem } from '../problem.ts'

/** Roles, each of which may do what those before it may. */
export const ROLES = ['customer', 'admin'] as const

/** What an account may do. */
export type Role = (typeof ROLES)[number]

/** Who sends a request, as a verified token says. */
export interface Session {
  readonly subject: string
  readonly role: Role
}

/**
 * Signs and verifies sessions. The token is all there is: no replica remembers any, so every replica knows every session,
 * and one ends at its time only.
 */
export interface Sessions {
  issue(session: Session): Promise<{ readonly token: string; readonly expiresInSeconds: number }>
  /** Null for whatever is not a valid token of ours. */
  verify(token: string): Promise<Session | null>
}

/** Who may call a route. */
export type Access = 'anyone' | Role

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may call a route; customers for what is below `/me/`, admins below `/debug/`, anyone for the rest unless said. */
    access?: Access
  }
  interface FastifyRequest {
    session: Session | null
  }
}

const BEARER = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i

/** Tells who may call a route; one that says nothing below these paths cannot be open by mistake. */
export function accessOf({ url, config }: Pick<RouteOptions, 'url' | 'config'>): Access {
  if (config?.access !== undefined) return config.access
  if (url.startsWith('/me/')) return 'customer'
  return url.startsWith('/debug/') ? 'admin' : 'anyone'
}

function challenge(reply: FastifyReply, isPresent: boolean): FastifyReply {
  const scheme = isPresent ? 'Bearer error="invalid_token"' : 'Bearer'
  return sendProblem(reply.header('www-authenticate', scheme), 401, isPresent ? 'not a valid session' : 'log in first')
}

/**
 * Verifies the session of every request that sends credentials and turns away whom a route is not for. Bearer tokens only:
 * no browser sends them unasked, so no other site can act in a customer's name. Credentials that are no session of ours
 * are refused everywhere, because an answer that ignores them would look like one that honours them.
 */
export function guardRoutes(app: FastifyInstance, sessions: Sessions): void {
  app.decorateRequest('session', null)
  app.addHook('onRoute', (route) => {
    const access = accessOf(route)
    const judge = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | void> => {
      const { authorization } = request.headers
      const token = authorization === undefined ? undefined : BEARER.exec(authorization)?.[1]
      request.session = token === undefined ? null : await sessions.verify(token)
      if (request.session === null) return challenge(reply, authorization !== undefined)
      const isAllowed = access === 'anyone' || ROLES.indexOf(request.session.role) >= ROLES.indexOf(access)
      if (!isAllowed) return sendProblem(reply, 403, `only for the role ${access}`)
    }
    const hook = (request: FastifyRequest, reply: FastifyReply, goOn: (error?: Error) => void): void => {
      if (access === 'anyone' && request.headers.authorization === undefined) goOn()
      else judge(request, reply).then((answered) => answered ?? goOn(), goOn)
    }
    route.onRequest = [...[route.onRequest ?? []].flat(), hook]
  })
}
