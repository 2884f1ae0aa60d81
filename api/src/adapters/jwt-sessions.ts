import { createSigner, createVerifier } from 'fast-jwt'
import { ROLES, type Role, type Session, type Sessions } from '../sessions/session.ts'

/** How sessions are signed. */
export interface JwtSessionOptions {
  /** Signs; the same in every replica. */
  readonly secret: string
  /** Still believed, while sessions signed with it last: that is how a secret is changed without logging anybody out. */
  readonly previousSecret?: string | undefined
  /** Tokens of one shop are none of another's. */
  readonly namespace: string
  readonly lifeSeconds: number
  /** Since the Unix epoch. */
  readonly now: () => Date
}

// No token chooses how it is verified: `none`, or a public key taken for a secret, is how forged tokens are made.
const ALGORITHM = 'HS256'
// 256 bits end in a letter whose last two stand for nothing: several texts decode to one signature, only this one was written.
const AS_SIGNED = /\.[\w-]{42}[AEIMQUYcgkosw048]$/
// The usual clock difference between two replicas.
const CLOCK_TOLERANCE_S = 5

/** What is signed besides the registered claims of RFC 7519; times in seconds. */
interface Claims {
  readonly sub: string
  readonly role: Role
  readonly exp: number
}

const isRole = (text: unknown): text is Role => ROLES.some((role) => role === text)

/**
 * Keeps sessions in JWTs signed by a shared secret (HS256). Verified at once: by way of the thread pool, as Web
 * Crypto does it, a signature takes ten times as much of a core (100 µs), and more of a busy one.
 */
export function createJwtSessions(options: JwtSessionOptions): Sessions {
  const { secret, previousSecret, namespace, lifeSeconds, now } = options
  const [iss, aud] = [namespace, `${namespace}-shop`]
  const seconds = (): number => Math.floor(now().getTime() / 1000)
  const sign = createSigner({ key: secret, algorithm: ALGORITHM, iss, aud })
  const verifiers = [secret, ...(previousSecret ? [previousSecret] : [])].map((key) =>
    // The end is judged below, by the clock that is given.
    createVerifier({ key, algorithms: [ALGORITHM], allowedIss: iss, allowedAud: aud, ignoreExpiration: true }),
  )
  const claimsOf = (token: string): Partial<Claims> | null => {
    if (!AS_SIGNED.test(token)) return null
    for (const verify of verifiers) {
      try {
        return verify(token) as Partial<Claims>
      } catch {
        // Signed with another secret, or no token at all.
      }
    }
    return null
  }
  const sessionOf = (token: string): Session | null => {
    const { sub, role, exp } = claimsOf(token) ?? {}
    const isCurrent = typeof exp === 'number' && exp + CLOCK_TOLERANCE_S > seconds()
    return isCurrent && typeof sub === 'string' && isRole(role) ? { subject: sub, role } : null
  }
  return {
    issue: ({ subject: sub, role }) => {
      const iat = seconds()
      const token = sign({ role, sub, iat, exp: iat + lifeSeconds })
      return Promise.resolve({ token, expiresInSeconds: lifeSeconds })
    },
    verify: (token) => Promise.resolve(sessionOf(token)),
  }
}
