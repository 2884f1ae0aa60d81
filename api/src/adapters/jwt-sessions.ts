import { createHmac, timingSafeEqual } from 'node:crypto'
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

// Of the header as we write it, so that no token chooses how it is verified: `none`, or a public key taken for a secret, is
// how forged tokens are made.
const HEADER = encoded({ alg: 'HS256', typ: 'JWT' })
// The usual clock difference between two replicas.
const CLOCK_TOLERANCE_S = 5

/** What is signed: registered claims (RFC 7519), times in seconds. */
interface Claims {
  readonly iss: string
  readonly aud: string
  readonly sub: string
  readonly role: Role
  readonly iat: number
  readonly exp: number
}

const isRole = (text: unknown): text is Role => ROLES.some((role) => role === text)

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

const signatureOf = (text: string, secret: string): string =>
  createHmac('sha256', secret).update(text).digest('base64url')

/** Compares texts, because several texts decode to the same bytes and only one of them is what was signed. */
function isSame(one: string, other: string): boolean {
  const [left, right] = [Buffer.from(one), Buffer.from(other)]
  return left.length === right.length && timingSafeEqual(left, right)
}

/** The claims of a token that one of the secrets has signed; null for anything else. */
function claimsOf(token: string, secrets: readonly string[]): Partial<Claims> | null {
  const [header, payload = '', signature = '', ...more] = token.split('.', 4)
  if (header !== HEADER || more.length > 0) return null
  if (!secrets.some((secret) => isSame(signature, signatureOf(`${header}.${payload}`, secret)))) return null
  try {
    return JSON.parse(Buffer.from(payload, 'base64url').toString()) as Partial<Claims>
  } catch {
    return null
  }
}

/**
 * Keeps sessions in JWTs signed by a shared secret (HS256). Verified at once: by way of the thread pool, as Web
 * Crypto does it, a signature takes ten times as much of a core (100 µs), and more of a busy one.
 */
export function createJwtSessions(options: JwtSessionOptions): Sessions {
  const { secret, previousSecret, namespace, lifeSeconds, now } = options
  const secrets = [secret, ...(previousSecret ? [previousSecret] : [])]
  const iss = namespace
  const aud = `${namespace}-shop`
  const seconds = (): number => Math.floor(now().getTime() / 1000)
  const sign = ({ subject: sub, role }: Session): string => {
    const iat = seconds()
    const text = `${HEADER}.${encoded({ role, sub, iss, aud, iat, exp: iat + lifeSeconds } satisfies Claims)}`
    return `${text}.${signatureOf(text, secret)}`
  }
  const verify = (token: string): Session | null => {
    const claims = claimsOf(token, secrets)
    if (claims === null || claims.iss !== iss || claims.aud !== aud) return null
    const { sub, role, exp } = claims
    const isCurrent = typeof exp === 'number' && exp + CLOCK_TOLERANCE_S > seconds()
    return isCurrent && typeof sub === 'string' && isRole(role) ? { subject: sub, role } : null
  }
  return {
    issue: (session) => Promise.resolve({ token: sign(session), expiresInSeconds: lifeSeconds }),
    verify: (token) => Promise.resolve(verify(token)),
  }
}
