import type { FastifyInstance } from 'fastify'
import { Type, type Static } from 'typebox'
import type { Limiter } from '../limits/limiter.ts'
import { sendProblem } from '../problem.ts'
import { NoQuery, PROBLEMS } from '../routes/schemas.ts'
import { hashPassword, isPassword } from './password.ts'
import type { Role, Sessions } from './session.ts'

/** An account as it is kept. */
export interface Account {
  readonly subject: string
  readonly role: Role
  /** As of `hashPassword`. */
  readonly passwordHash: string
}

/** Who may log in. */
export interface Accounts {
  /** Null for a name that nobody has. */
  find(name: string): Promise<Account | null>
  /** Makes a customer; false where the name is taken. */
  create(name: string, passwordHash: string): Promise<boolean>
}

/** What logging in needs. */
export interface LoginDeps {
  readonly accounts: Accounts
  readonly sessions: Sessions
  /** Guesses for one account, whatever addresses they come from. */
  readonly perAccount?: Limiter | undefined
}

// Lower case, so that no two accounts look alike.
const name = Type.String({ pattern: '^[a-z0-9][a-z0-9._-]{0,63}$' })
// The upper bound is for the hash's sake: it reads all of it.
const password = Type.String({ minLength: 8, maxLength: 200 })
const Credentials = Type.Object({ name, password }, { additionalProperties: false })
const SessionBody = Type.Object({ token: Type.String(), tokenType: Type.String(), expiresInSeconds: Type.Integer() })
const AccountBody = Type.Object({ name: Type.String() })

type Body = { Body: Static<typeof Credentials> }

/** Adds sign-up and login. Neither tells by its answer, nor by how long it takes, whether a name exists; sign-up by its nature does. */
export function loginRoutes(app: FastifyInstance, { accounts, sessions, perAccount }: LoginDeps): void {
  app.post<Body>(
    '/accounts',
    {
      config: { limit: 'login', asksDatabase: false },
      schema: { body: Credentials, querystring: NoQuery, response: { 201: AccountBody, ...PROBLEMS } },
    },
    async (request, reply) => {
      const { name: wanted, password: chosen } = request.body
      const isMade = await accounts.create(wanted, await hashPassword(chosen))
      if (!isMade) return sendProblem(reply, 409, 'the name is taken')
      return reply.code(201).header('cache-control', 'no-store').send({ name: wanted })
    },
  )
  app.post<Body>(
    '/login',
    {
      config: { limit: 'login', asksDatabase: false },
      schema: { body: Credentials, querystring: NoQuery, response: { 200: SessionBody, ...PROBLEMS } },
    },
    async (request, reply) => {
      const { name: claimed, password: given } = request.body
      const verdict = await perAccount?.admit(`account ${claimed}`)
      if (verdict?.outcome === 'unavailable') return sendProblem(reply.header('retry-after', 1), 503)
      if (verdict?.outcome === 'limited') {
        const seconds = Math.max(1, Math.ceil(verdict.waitMs / 1000))
        return sendProblem(reply.header('retry-after', seconds), 429, `try again in ${seconds} s`)
      }
      const account = await accounts.find(claimed)
      const isRight = await isPassword(given, account?.passwordHash ?? null)
      if (!account || !isRight) return sendProblem(reply, 401, 'name or password is wrong')
      const session = await sessions.issue(account)
      return reply.header('cache-control', 'no-store').send({ tokenType: 'Bearer', ...session })
    },
  )
}
