import { fail } from './errors.ts'

/** One provider as the configuration names it. */
export interface ProviderSpec {
  readonly kind: 'varnish' | 'fastly'
  readonly url: string
  /** Unique label: kind and host, at Fastly also the service id. */
  readonly name: string
}

const SPEC = /^(varnish|fastly)\+(https?:\/\/.+)$/

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
  const match = SPEC.exec(text)
  if (!match || !URL.canParse(match[2] ?? ''))
    throw fail('LOCKSTEP_CDN_BAD_TIERS', { reason: 'a provider must be varnish+URL or fastly+URL' })
  const kind = match[1] === 'fastly' ? 'fastly' : 'varnish'
  const url = new URL(match[2] ?? '')
  if (url.username !== '' || url.password !== '')
    throw fail('LOCKSTEP_CDN_BAD_TIERS', { reason: 'a URL must not hold credentials' })
  const service = kind === 'fastly' ? `:${url.pathname.split('/').findLast(Boolean) ?? ''}` : ''
  return { kind, url: url.href, name: `${kind}:${url.host}${service}` }
}
