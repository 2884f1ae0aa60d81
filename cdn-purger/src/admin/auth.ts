import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

/** What somebody may do: read, replay and purge, purge everything. Each includes those before it. */
export const ROLES = ['viewer', 'operator', 'admin'] as const
/** One of `ROLES`. */
export type Role = (typeof ROLES)[number]

/** Who asks. */
export interface Principal {
  readonly name: string
  readonly role: Role
}

/** Knows callers by the token they bear. */
export interface Authenticator {
  /** Answers null for a token it does not know; rejects when it cannot tell, and then nobody is let in. */
  authenticate(token: string): Promise<Principal | null>
}

/** Tells whether a role includes another. */
export function includesRole(has: Role, needs: Role): boolean {
  return ROLES.indexOf(has) >= ROLES.indexOf(needs)
}

/** A line of the option that lists tokens: `name:role:hash`. The token itself is kept nowhere. */
export interface TokenLine extends Principal {
  /** SHA-256 of the token, hex. Enough for 256 random bits, which nobody guesses; passwords would need scrypt. */
  readonly hash: string
}

const LINE = /^([A-Za-z0-9._@-]{1,64}):(viewer|operator|admin):([0-9a-f]{64})$/

/** Parses one line. @throws RangeError that does not repeat the line. */
export function parseTokenLine(line: string, index: number): TokenLine {
  const [, name = '', role = '', hash = ''] = LINE.exec(line.trim()) ?? []
  if (name === '') throw new RangeError(`entry ${index + 1} is not name:role:sha256`)
  return { name, role: role as Role, hash }
}

/** Makes a token and the line that lets it in. */
export function newToken(principal: Principal): { readonly token: string; readonly line: string } {
  const token = `lkst_${randomBytes(32).toString('base64url')}`
  return { token, line: `${principal.name}:${principal.role}:${hashOf(token).toString('hex')}` }
}

/** Knows the listed tokens. Takes as long for a wrong token as for a right one, wherever it stands. */
export function createTokenAuthenticator(lines: readonly TokenLine[]): Authenticator {
  const known = lines.map((line) => ({ line, hash: Buffer.from(line.hash, 'hex') }))
  return {
    authenticate(token) {
      const given = hashOf(token)
      let found: Principal | null = null
      for (const { line, hash } of known) {
        if (timingSafeEqual(hash, given)) found = { name: line.name, role: line.role }
      }
      return Promise.resolve(found)
    },
  }
}

/** Asks one after the other. */
export function anyOf(authenticators: readonly Authenticator[]): Authenticator {
  return {
    async authenticate(token) {
      for (const authenticator of authenticators) {
        const found = await authenticator.authenticate(token)
        if (found) return found
      }
      return null
    },
  }
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
