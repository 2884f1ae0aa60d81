import { signEdgeGrid } from '../adapters/edgegrid.ts'
import { jsonCall, parseObject } from './profile.ts'
import type { Endpoint, ProviderProfile, PurgeCall } from './profile.ts'

function call({ url, isSoft }: Endpoint, type: 'tag' | 'cpcode', objects: readonly (string | number)[]): PurgeCall {
  const network = url.pathname.includes('staging') ? 'staging' : 'production'
  return jsonCall(`/ccu/v3/${isSoft ? 'invalidate' : 'delete'}/${type}/${network}`, {}, { objects })
}

/**
 * Akamai Fast Purge (CCU v3) by cache tag: `https://HOST.luna.akamaiapis.net/production?cpcode=N`, or `/staging`. Everything
 * is purged by the CP code; without one, by the key that every tagged answer carries.
 */
export const AKAMAI: ProviderProfile = {
  kind: 'akamai',
  credentials: ['clientToken', 'clientSecret', 'accessToken'],
  limits: {
    // The body may have 50,000 bytes; each key of it comes with two quotes and a comma.
    maxKeys: 5_000,
    maxBytes: 35_000,
    concurrency: 4,
    rates: [
      { unit: 'requests', perSecond: 50, burst: 100 },
      { unit: 'keys', perSecond: 500 / 60, burst: 5_000 },
    ],
  },
  keys: { alphabet: /^[!#-)+./0-9;=?A-Z[\]^_`a-z|~-]+$/, maxBytes: 128, foldsCase: false },
  canSoft: true,
  throttledMs: 5_000,
  quota: { remaining: 'x-ratelimit-remaining' },
  sign: signEdgeGrid,
  purge: (keys, endpoint) => call(endpoint, 'tag', keys),
  purgeAll(endpoint) {
    const cpCode = Number(endpoint.url.searchParams.get('cpcode'))
    return cpCode > 0 ? call(endpoint, 'cpcode', [cpCode]) : null
  },
  readPurged({ text }) {
    const { purgeId } = parseObject(text)
    return { objects: null, ...(typeof purgeId === 'string' ? { purgeId } : {}) }
  },
}
