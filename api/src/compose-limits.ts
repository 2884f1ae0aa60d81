import { systemTime, type ConfigOf, type Counter } from '@lockstep/runtime'
import { openRedisLimits } from './adapters/redis-limits.ts'
import type { API_OPTIONS } from './config.ts'
import { fail } from './errors.ts'
import type { Limits } from './limits/limit-routes.ts'
import { Limiter } from './limits/limiter.ts'
import { createMemoryLimits } from './limits/memory-limits.ts'
import type { LimitName, LimitPolicy } from './limits/policy.ts'
import { Breaker, type BreakerState } from './protection/breaker.ts'

/** The limits of a process, and the connection that they count on. */
export interface OpenLimits extends Limits {
  readonly breaker: () => BreakerState
  close(): void
}

const WINDOW_SECONDS = 60
// A command fails within 100 ms: three of them, and nobody waits for longer than that in a second.
const FAILURES = 3
const PAUSE_MS = 1_000

type LimitConfig = Pick<
  ConfigOf<typeof API_OPTIONS>,
  'redisUrl' | 'namespace' | 'readsPerMinute' | 'writesPerMinute' | 'loginsPerMinute' | 'adminPerMinute'
>

/** Reads and writes go on without Redis, because losing it must only make the API slower; logins and the admin's do not. */
function policiesOf(config: LimitConfig): readonly LimitPolicy[] {
  const bucket = { kind: 'token-bucket', windowSeconds: WINDOW_SECONDS, withoutRedis: 'admit' } as const
  const window = { kind: 'sliding-window', windowSeconds: WINDOW_SECONDS, withoutRedis: 'refuse' } as const
  const policies: readonly LimitPolicy[] = [
    { ...bucket, name: 'read', limit: config.readsPerMinute },
    { ...bucket, name: 'write', limit: config.writesPerMinute },
    { ...window, name: 'login', limit: config.loginsPerMinute },
    { ...window, name: 'admin', limit: config.adminPerMinute },
  ]
  return policies.filter(({ limit }) => limit > 0)
}

/** Opens the limits; they connect by themselves. */
export function openLimits(config: LimitConfig, refused: Counter): OpenLimits {
  const shared = openRedisLimits({ url: config.redisUrl, namespace: config.namespace })
  const local = createMemoryLimits(systemTime)
  const breaker = new Breaker({
    time: systemTime,
    failures: FAILURES,
    pauseMs: PAUSE_MS,
    refusal: () => fail('LOCKSTEP_API_LIMITS_UNREACHABLE'),
    isFault: () => true,
  })
  const limiters: Partial<Record<LimitName, Limiter>> = {}
  for (const policy of policiesOf(config)) {
    limiters[policy.name] = new Limiter({ policy, shared, local, breaker, time: systemTime })
  }
  return { limiters, refused, breaker: () => breaker.state, close: () => shared.close() }
}
