import { encodeSurrogateKey } from '@lockstep/schemas'
import type { PurgeLimits } from '../ports.ts'
import type { PlannedPurge } from './jobs.ts'
import type { EstimateOutput } from './schemas.ts'

/** What an estimate needs to know of a provider. */
export interface ProviderLimits {
  readonly name: string
  readonly limits: PurgeLimits
}

/** What a replay would cost, by the limits that are configured. */
export type Estimate = Pick<EstimateOutput, 'keys' | 'requests' | 'seconds' | 'providers'>

// A Varnish takes more; only what has no limit is estimated by it.
const UNLIMITED_KEYS_PER_SECOND = 100_000
/** Live and rebound. */
const PASSES = 2

/**
 * Forecasts a replay: requests as full as the limits allow, twice because of the rebound, and the time the tightest bucket
 * takes to pay for them when nothing else wants its tokens, which live purges do.
 */
export function estimate(
  plan: readonly PlannedPurge[],
  providers: readonly ProviderLimits[],
  reboundMs: number,
): Estimate {
  const bytes = plan.reduce((sum, { tag }) => sum + Buffer.byteLength(encodeSurrogateKey(tag)) + 1, 0)
  const costs = providers.map(({ name, limits }) => {
    const { maxKeys, maxBytes, rates } = limits
    const requests = PASSES * Math.max(Math.ceil(plan.length / maxKeys), Math.ceil(bytes / maxBytes))
    const tokens = rates.map(({ unit }) => ({ unit, count: unit === 'requests' ? requests : PASSES * plan.length }))
    const waits = rates.map(
      ({ perSecond, burst }, index) => Math.max(0, (tokens[index]?.count ?? 0) - burst) / perSecond,
    )
    return { name, requests, tokens, seconds: Math.max(plan.length / UNLIMITED_KEYS_PER_SECOND, ...waits) }
  })
  const slowest = Math.max(0, ...costs.map(({ seconds }) => seconds))
  return {
    keys: plan.length,
    requests: costs.reduce((sum, { requests }) => sum + requests, 0),
    seconds: round(slowest + reboundMs / 1_000),
    providers: costs.map((cost) => ({ ...cost, seconds: round(cost.seconds) })),
  }
}

function round(seconds: number): number {
  return Math.ceil(seconds * 100) / 100
}
