import type { ConfigTable } from '@lockstep/runtime'
import { Type } from 'typebox'

/** Options of the journal and the admin API. */
export const ADMIN_CONFIG = {
  journalUrl: {
    env: 'LOCKSTEP_PURGER_JOURNAL_URL',
    type: Type.String({ pattern: '^$|^postgres(ql)?://|^sqlite:.+' }),
    default: '',
    secret: true,
    desc: 'Where purges are journaled: postgres://…, shared by all purgers, or sqlite:FILE for one; empty for nowhere.',
  },
  journalDays: {
    env: 'LOCKSTEP_PURGER_JOURNAL_DAYS',
    type: Type.Integer({ minimum: 1, maximum: 3_650 }),
    default: 30,
    unit: 'days',
    desc: 'How long journal entries, jobs that ended and lines of the audit log are kept.',
  },
  apiHost: {
    env: 'LOCKSTEP_PURGER_API_HOST',
    type: Type.String({ minLength: 1 }),
    default: '127.0.0.1',
    desc: 'Address of the admin API.',
  },
  apiPort: {
    env: 'LOCKSTEP_PURGER_API_PORT',
    type: Type.Integer({ minimum: 0, maximum: 65_535 }),
    default: 9_413,
    desc: 'Port of the admin API (replays, purges, journal); it runs where there are a journal and somebody to let in. 0 takes any free one.',
  },
  apiTokens: {
    env: 'LOCKSTEP_PURGER_API_TOKENS',
    type: Type.Array(Type.String({ minLength: 1 })),
    default: [],
    secret: true,
    desc: 'Who may use the admin API: name:role:SHA-256 of the token, separated by commas; `lockstep purge --new-token NAME:ROLE` makes them.',
  },
  apiOidcIssuer: {
    env: 'LOCKSTEP_PURGER_API_OIDC_ISSUER',
    type: Type.String({ pattern: '^$|^https?://' }),
    default: '',
    desc: 'Issuer whose JWTs are believed as well; empty for none.',
  },
  apiOidcAudience: {
    env: 'LOCKSTEP_PURGER_API_OIDC_AUDIENCE',
    type: Type.String({ minLength: 1 }),
    default: 'lockstep',
    desc: 'Audience that a JWT must name.',
  },
  apiOidcJwksUrl: {
    env: 'LOCKSTEP_PURGER_API_OIDC_JWKS_URL',
    type: Type.String({ pattern: '^$|^https?://' }),
    default: '',
    desc: 'Where the issuer publishes its keys; empty for ISSUER/.well-known/jwks.json.',
  },
  apiOidcRoleClaim: {
    env: 'LOCKSTEP_PURGER_API_OIDC_ROLE_CLAIM',
    type: Type.String({ minLength: 1 }),
    default: 'lockstep_role',
    desc: 'Claim that names the role: viewer, operator or admin.',
  },
  apiConfirmAboveKeys: {
    env: 'LOCKSTEP_PURGER_API_CONFIRM_ABOVE_KEYS',
    type: Type.Integer({ minimum: 0 }),
    default: 10_000,
    desc: 'A replay of more keys needs the confirm token of a dry run.',
  },
  readUrls: {
    env: 'LOCKSTEP_PURGER_READ_URLS',
    type: Type.Array(Type.String({ pattern: '^[^=]+=https?://.+' })),
    default: [],
    desc: 'Where readers find a tier, as provider=URL, for `verify`; a Varnish is read where it is purged.',
  },
} as const satisfies ConfigTable
