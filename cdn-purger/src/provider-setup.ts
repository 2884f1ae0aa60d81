import { systemTime } from '@lockstep/runtime'
import type { ConfigOf, Logger } from '@lockstep/runtime'
import { createHttpProvider } from './adapters/http-provider.ts'
import { createRedisBudget } from './adapters/redis-budget.ts'
import { openRedis } from './adapters/redis-client.ts'
import type { PURGER_CONFIG } from './config.ts'
import { fail } from './errors.ts'
import { createLocalBudget, withMargin } from './local-budget.ts'
import type { PurgerMetrics } from './metrics.ts'
import type { EdgeProvider, RateBudget } from './ports.ts'
import { limitsOf } from './provider-limits.ts'
import type { Credentials, ProviderKind } from './providers/profile.ts'
import { PROFILES } from './providers/profiles.ts'
import type { ProviderSpec } from './tier-list.ts'

type PurgerConfig = ConfigOf<typeof PURGER_CONFIG>

function credentialsOf(config: PurgerConfig): Readonly<Record<ProviderKind, Credentials>> {
  return {
    varnish: { token: config.varnishToken },
    fastly: { token: config.fastlyToken },
    cloudflare: { token: config.cloudflareToken },
    bunny: { token: config.bunnyToken },
    google: { token: config.googleToken },
    http: { token: config.httpToken },
    akamai: {
      clientToken: config.akamaiClientToken,
      clientSecret: config.akamaiClientSecret,
      accessToken: config.akamaiAccessToken,
    },
    cloudfront: {
      accessKeyId: config.awsAccessKeyId,
      secretAccessKey: config.awsSecretAccessKey,
      sessionToken: config.awsSessionToken,
    },
  }
}

/**
 * Makes the provider that a tier names.
 * @throws LOCKSTEP_CDN_BAD_LIMITS, LOCKSTEP_CDN_TOKEN_MISSING, LOCKSTEP_CDN_NO_SOFT_PURGE
 */
export function createProvider({ kind, name, url }: ProviderSpec, config: PurgerConfig): EdgeProvider {
  const profile = PROFILES[kind]
  const credentials = credentialsOf(config)[kind]
  const missing = profile.credentials.find((credential) => !credential.endsWith('?') && !credentials[credential])
  if (missing !== undefined) throw fail('LOCKSTEP_CDN_TOKEN_MISSING', { provider: kind, credential: missing })
  const isSoft = config.soft.includes(kind)
  if (isSoft && !profile.canSoft) throw fail('LOCKSTEP_CDN_NO_SOFT_PURGE', { provider: kind })
  return createHttpProvider({
    name,
    profile,
    endpoint: { url: new URL(url), credentials, isSoft },
    limits: limitsOf(config.limits)(kind),
    timeoutMs: config.timeoutMs,
    wallMs: () => systemTime.wallMs(),
  })
}

/** Makes the token buckets of a provider, shared through Redis where there is one; null where it has no rates. */
export function createBudget(
  { name, limits }: EdgeProvider,
  { redisUrl, namespace }: PurgerConfig,
  { logger, metrics }: { logger: Logger; metrics: PurgerMetrics },
): RateBudget | null {
  if (limits.rates.length === 0) return null
  const nowMs = () => systemTime.nowMs()
  const rates = withMargin(limits.rates)
  if (redisUrl === '') return createLocalBudget(rates, nowMs)
  const redis = openRedis(redisUrl, { commandTimeout: 250, connectTimeout: 1_000, maxRetriesPerRequest: 0 })
  redis.on('error', (error) => logger.debug({ error: error.message }, 'redis connection failed'))
  const onAway = () => metrics.budgetAway(name)
  return createRedisBudget({ redis, key: `${namespace}:budget:${name}`, limits: rates, nowMs, onAway })
}
