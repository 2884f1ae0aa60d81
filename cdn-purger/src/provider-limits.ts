import { Type } from 'typebox'
import type { Static } from 'typebox'
import { Value } from 'typebox/value'
import { fail } from './errors.ts'
import type { PurgeLimits } from './ports.ts'
import type { ProviderKind } from './providers/profile.ts'
import { PROFILES } from './providers/profiles.ts'

const Rate = Type.Object(
  {
    unit: Type.Union([Type.Literal('requests'), Type.Literal('keys')]),
    perSecond: Type.Number({ exclusiveMinimum: 0 }),
    burst: Type.Number({ minimum: 1 }),
  },
  { additionalProperties: false },
)
const Limits = Type.Partial(
  Type.Object({
    maxKeys: Type.Integer({ minimum: 1, maximum: 10_000 }),
    maxBytes: Type.Integer({ minimum: 64, maximum: 1_048_576 }),
    concurrency: Type.Integer({ minimum: 1, maximum: 64 }),
    rates: Type.Array(Rate),
  }),
  { additionalProperties: false },
)

type Overrides = Readonly<Record<string, Static<typeof Limits>>>

/**
 * Reads limits by provider from JSON and lays them over those we know.
 * @throws LOCKSTEP_CDN_BAD_LIMITS
 */
export function limitsOf(json: string): (kind: ProviderKind) => PurgeLimits {
  const overrides = json === '' ? {} : parse(json)
  return (kind) => ({ ...PROFILES[kind].limits, ...overrides[kind] })
}

function parse(json: string): Overrides {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    throw fail('LOCKSTEP_CDN_BAD_LIMITS', { reason: 'it is no JSON' })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw fail('LOCKSTEP_CDN_BAD_LIMITS', { reason: 'it must be an object by provider' })
  for (const [kind, limits] of Object.entries(value)) {
    if (!Object.hasOwn(PROFILES, kind))
      throw fail('LOCKSTEP_CDN_BAD_LIMITS', { reason: `there is no provider ${kind}` })
    if (Value.Check(Limits, limits)) continue
    const where = Value.Errors(Limits, limits)[0]?.instancePath ?? ''
    throw fail('LOCKSTEP_CDN_BAD_LIMITS', { reason: `${kind}${where} is wrong` })
  }
  return value as Overrides
}
