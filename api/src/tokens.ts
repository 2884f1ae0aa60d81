import { signToken, type Cache } from '@lockstep/cache'
import { stampOf, type Clock, type Stamp } from '@lockstep/schemas'
import type { FastifyReply } from 'fastify'

/** What hands out read-your-writes tokens. */
export interface TokenDeps {
  readonly cache: Cache
  /** Signs tokens. */
  readonly tokenSecret: string
  /** How long the cookie lives: after that every edge has caught up or let go, s. */
  readonly edgeTtlSeconds: number
}

/** Header that carries a token both ways, and name of the cookie that does it for browsers. */
export const TOKEN_HEADER = 'lockstep-token'

/**
 * Hands the writer a token, as header and as cookie: the stamp of a snapshot after its commit, which this process learns as
 * well. Answers the stamp; null before the first attach, when nobody can say which epoch the write belongs to.
 */
export function handToken(deps: TokenDeps, reply: FastifyReply, clock: Clock): Stamp | null {
  void reply.header('cache-control', 'no-store')
  const generation = deps.cache.generation()
  if (generation === null) return null
  const stamp = stampOf(generation, clock)
  deps.cache.learn(stamp)
  const token = signToken(stamp, deps.tokenSecret)
  void reply.header(TOKEN_HEADER, token)
  void reply.header(
    'set-cookie',
    `${TOKEN_HEADER}=${token}; Path=/; Max-Age=${deps.edgeTtlSeconds}; HttpOnly; SameSite=Lax`,
  )
  return stamp
}
