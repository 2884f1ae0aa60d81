import { createRemoteJWKSet, errors, jwtVerify } from 'jose'
import { ROLES } from '../admin/auth.ts'
import { refuse } from '../admin/errors.ts'
import type { Authenticator, Role } from '../admin/auth.ts'

/** Whose tokens are believed. */
export interface OidcOptions {
  readonly issuer: string
  readonly audience: string
  /** Where the issuer publishes its keys. */
  readonly jwksUrl: string
  /** Claim that names the role: a text or a list of texts, the highest counts. */
  readonly roleClaim: string
  /** Longest wait for the keys, ms. */
  readonly timeoutMs: number
}

// Signatures by keys that the issuer alone holds: a shared secret, or none at all, proves nothing.
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA']
// The usual clock difference between two machines.
const CLOCK_TOLERANCE_S = 30

/** Knows the bearers of an identity provider's JWTs. */
export function createOidcAuthenticator(options: OidcOptions): Authenticator {
  const { issuer, audience, roleClaim } = options
  const keys = createRemoteJWKSet(new URL(options.jwksUrl), { timeoutDuration: options.timeoutMs })
  return {
    async authenticate(token) {
      // What is no JWT at all is none of ours, and costs the issuer no request.
      if (token.split('.').length !== 3) return null
      try {
        const { payload } = await jwtVerify(token, keys, {
          issuer,
          audience,
          algorithms: ALGORITHMS,
          requiredClaims: ['sub', 'exp'],
          clockTolerance: CLOCK_TOLERANCE_S,
        })
        const role = highestRole(payload[roleClaim])
        return role === undefined ? null : { name: String(payload.sub), role }
      } catch (error) {
        const isVerdict = error instanceof errors.JOSEError && !(error instanceof errors.JWKSTimeout)
        if (!isVerdict) throw refuse('LOCKSTEP_CDN_JOURNAL_AWAY', {}, error)
        return null
      }
    },
  }
}

function highestRole(claim: unknown): Role | undefined {
  const claimed = Array.isArray(claim) ? claim : [claim]
  return ROLES.findLast((role) => claimed.includes(role))
}
