import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { sendProblem } from './problem.ts'

const literal = (text: string): string => text.replaceAll(/[.+()|[\]{}^$?\\]/g, '\\$&')

/** The addresses that a route's pattern stands for. */
const patternOf = (url: string): RegExp =>
  new RegExp(`^${literal(url).replaceAll(/:\w+/g, '[^/]+').replaceAll('*', '.*')}$`)

/**
 * Answers what no route is for, before a body is looked at: 405 with `Allow` (RFC 9110 15.5.6) where another method would do,
 * else 404. Registered behind every hook, whose work such an answer needs as well; requests that have a route pay nothing.
 */
export async function answerUnknown(app: FastifyInstance, routes: readonly RouteOptions[]): Promise<void> {
  const patterns = new Map<string, RegExp>()
  const matches = (url: string, path: string): boolean => {
    let pattern = patterns.get(url)
    if (pattern === undefined) patterns.set(url, (pattern = patternOf(url)))
    return pattern.test(path)
  }
  const answer = (request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const [path = ''] = request.url.split('?', 1)
    const allowed = new Set(routes.filter(({ url }) => matches(url, path)).flatMap(({ method }) => method))
    // With a method that would do, the address is one that the router takes for another, or that a route has no answer for.
    if (allowed.size === 0 || allowed.has(request.method)) return sendProblem(reply, 404, 'no such route')
    return sendProblem(reply.header('allow', [...allowed].toSorted().join(', ')), 405, `not by ${request.method}`)
  }
  await app.register((scope, _options, done) => {
    scope.addHook('onRequest', (request, reply) => void answer(request, reply))
    // What makes this scope, and so the hook, the one of unknown routes; and what routes come to that call it themselves.
    scope.setNotFoundHandler(answer)
    done()
  })
}
