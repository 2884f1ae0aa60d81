import { fail } from './errors.ts'
import type { ProviderKind } from './providers/profile.ts'
import { isProviderKind, PROFILES } from './providers/profiles.ts'

/** One provider as the configuration names it. */
export interface ProviderSpec {
  readonly kind: ProviderKind
  readonly url: string
  /** Unique label: kind and host, and where many share a host what tells them apart. */
  readonly name: string
}

const SPEC = /^([a-z]+)\+(https?:\/\/.+)$/

/**
 * Parses tiers from the origin outward: `;` between tiers, `,` between the providers of one, each `KIND+URL`.
 * @throws LOCKSTEP_CDN_BAD_TIERS
 */
export function parseTiers(text: string): ProviderSpec[][] {
  const parts = text.split(';').map((tier) => tier.split(',').map((item) => item.trim()))
  const tiers = parts.map((tier) => tier.filter((item) => item !== '').map(parseProvider))
  const full = tiers.filter((tier) => tier.length > 0)
  const names = full.flat().map((spec) => spec.name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw fail('LOCKSTEP_CDN_BAD_TIERS', { reason: `${twice} is listed twice` })
  if (full.length === 0) throw fail('LOCKSTEP_CDN_BAD_TIERS', { reason: 'it is empty' })
  return full
}

function parseProvider(text: string): ProviderSpec {
  const [, kind = '', address = ''] = SPEC.exec(text) ?? []
  if (!isProviderKind(kind) || !URL.canParse(address))
    throw fail('LOCKSTEP_CDN_BAD_TIERS', {
      reason: `a provider must be one of ${Object.keys(PROFILES).join(', ')}, + and a URL`,
    })
  const url = new URL(address)
  if (url.username !== '' || url.password !== '')
    throw fail('LOCKSTEP_CDN_BAD_TIERS', { reason: 'a URL must not hold credentials' })
  const last = kind === 'varnish' ? undefined : url.pathname.split('/').findLast(Boolean)
  return { kind, url: url.href, name: `${kind}:${url.host}${last === undefined ? '' : `:${last}`}` }
}
