import { jwtVerify, SignJWT } from 'jose'
import { ROLES, type Role, type Sessions } from '../sessions/session.ts'

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

// The only one that is believed: `none`, or a public key taken for a secret, is how forged tokens are made.
const ALGORITHM = 'HS256'
// The usual clock difference between two replicas.
const CLOCK_TOLERANCE_S = 5

const isRole = (text: unknown): text is Role => ROLES.some((role) => role === text)

/** Keeps sessions in JWTs signed by a shared secret. */
export function createJwtSessions(options: JwtSessionOptions): Sessions {
  const { secret, previousSecret, namespace, lifeSeconds, now } = options
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
  const signingKey = bytes(secret)
  const keys = [signingKey, ...(previousSecret ? [bytes(previousSecret)] : [])]
  const rules = { issuer: namespace, audience: `${namespace}-shop`, algorithms: [ALGORITHM], typ: 'JWT' }
  return {
    async issue({ subject, role }) {
      const seconds = Math.floor(now().getTime() / 1000)
      const token = await new SignJWT({ role })
        .setProtectedHeader({ alg: ALGORITHM, typ: 'JWT' })
        .setSubject(subject)
        .setIssuer(rules.issuer)
        .setAudience(rules.audience)
        .setIssuedAt(seconds)
        .setExpirationTime(seconds + lifeSeconds)
        .sign(signingKey)
      return { token, expiresInSeconds: lifeSeconds }
    },
    async verify(token) {
      for (const key of keys) {
        const required = {
          requiredClaims: ['sub', 'exp', 'role'],
          clockTolerance: CLOCK_TOLERANCE_S,
          currentDate: now(),
        }
        // Every fault of a token, whatever it is, means that it is none of ours.
        const verified = await jwtVerify(token, key, { ...rules, ...required }).catch(() => null)
        if (verified === null) continue
        const { sub, role } = verified.payload
        return sub !== undefined && isRole(role) ? { subject: sub, role } : null
      }
      return null
    },
  }
}
