import type { ConfigOf } from '@lockstep/runtime'
import { createJwtSessions } from './adapters/jwt-sessions.ts'
import { openAccounts } from './adapters/pg-accounts.ts'
import type { OpenLimits } from './compose-limits.ts'
import type { API_OPTIONS } from './config.ts'
import { withAdmin } from './sessions/admin-account.ts'
import type { LoginDeps } from './sessions/login-routes.ts'
import type { Sessions } from './sessions/session.ts'

/** Sessions and accounts of a process. */
export interface OpenLogin {
  readonly sessions: Sessions
  readonly login: Omit<LoginDeps, 'sessions'>
  close(): Promise<void>
}

type LoginConfig = Pick<
  ConfigOf<typeof API_OPTIONS>,
  | 'databaseUrl'
  | 'statementTimeoutMs'
  | 'namespace'
  | 'sessionSecret'
  | 'previousSessionSecret'
  | 'sessionSeconds'
  | 'adminPassword'
>

/** Opens what logging in needs; it connects on demand. */
export function openLogin(config: LoginConfig, limits: OpenLimits, sessions?: Sessions): OpenLogin {
  const accounts = openAccounts(config)
  return {
    sessions:
      sessions ??
      createJwtSessions({
        secret: config.sessionSecret,
        previousSecret: config.previousSessionSecret,
        namespace: config.namespace,
        lifeSeconds: config.sessionSeconds,
        now: () => new Date(),
      }),
    login: { accounts: withAdmin(accounts, config.adminPassword), perAccount: limits.limiters.login },
    close: () => accounts.close(),
  }
}
