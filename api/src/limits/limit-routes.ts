import type { Counter } from '@lockstep/runtime'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { sendProblem } from '../problem.ts'
import type { Limiter, Verdict } from './limiter.ts'
import { clientOf, policyHeader, type LimitName } from './policy.ts'

/** The limits of one process. */
export interface Limits {
  /** A policy that is absent limits nobody. */
  readonly limiters: Readonly<Partial<Record<LimitName, Limiter>>>
  /** Counts refusals by `policy` and `reason`. */
  readonly refused: Counter
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Which limit a route is under; `read` for GET and HEAD, `write` for the rest unless said. */
    limit?: LimitName
  }
}

const isRead = (route: RouteOptions): boolean => [route.method].flat().every((method) => /^(?:GET|HEAD)$/.test(method))

/**
 * Puts every route under a limit, judged before anything else is done for a request. `RateLimit-Policy` is on every answer;
 * `RateLimit`, which is about one client, only on those that no shared cache may keep.
 */
export function limitRoutes(app: FastifyInstance, { limiters, refused }: Limits): void {
  app.addHook('onRoute', (route) => {
    const limiter = limiters[route.config?.limit ?? (isRead(route) ? 'read' : 'write')]
    if (limiter === undefined) return
    const isShared = isRead(route)
    const header = policyHeader(limiter.policy)
    const conclude = (verdict: Verdict, request: FastifyRequest, reply: FastifyReply): boolean => {
      reply.header('ratelimit-policy', header)
      if (verdict.outcome === 'admitted') {
        const isPrivate =
          !isShared || request.headers.authorization !== undefined || request.headers.cookie !== undefined
        if (isPrivate) reply.header('ratelimit', rateLimit(limiter, verdict.remaining, verdict.resetMs))
        return true
      }
      refused.inc({ policy: limiter.policy.name, reason: verdict.outcome })
      refuse(limiter, verdict, reply)
      return false
    }
    const judge = (request: FastifyRequest, reply: FastifyReply, goOn: () => void): void => {
      const verdict = limiter.admit(clientOf(request.ip))
      if (verdict instanceof Promise) {
        void verdict.then((judged) => {
          if (conclude(judged, request, reply)) goOn()
        })
      } else if (conclude(verdict, request, reply)) goOn()
    }
    route.onRequest = [judge, ...[route.onRequest ?? []].flat()]
  })
}

const rateLimit = (limiter: Limiter, remaining: number, resetMs: number): string =>
  `"${limiter.policy.name}";r=${remaining};t=${Math.ceil(resetMs / 1000)}`

function refuse(limiter: Limiter, verdict: Exclude<Verdict, { outcome: 'admitted' }>, reply: FastifyReply): void {
  if (verdict.outcome === 'unavailable') {
    void sendProblem(reply.header('retry-after', 1), 503)
    return
  }
  const seconds = Math.max(1, Math.ceil(verdict.waitMs / 1000))
  reply.header('retry-after', seconds).header('ratelimit', rateLimit(limiter, 0, verdict.waitMs))
  void sendProblem(reply, 429, `try again in ${seconds} s`)
}
