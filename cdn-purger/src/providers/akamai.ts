import { signEdgeGrid } from '../adapters/edgegrid.ts'
import { jsonCall, parseObject } from './profile.ts'
import type { Endpoint, ProviderProfile } from './profile.ts'

const networkOf = (endpoint: Endpoint) => (/staging/.test(endpoint.url.pathname) ? 'staging' : 'production')

/** Akamai Fast Purge (CCU v3) by cache tag: `https://HOST.luna.akamaiapis.net/production`, or `/staging`. */
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
  purge: (keys, endpoint) =>
    jsonCall(`/ccu/v3/${endpoint.isSoft ? 'invalidate' : 'delete'}/tag/${networkOf(endpoint)}`, {}, { objects: keys }),
  purgeAll: () => null,
  readPurged({ text }) {
    const { purgeId } = parseObject(text)
    return { objects: null, ...(typeof purgeId === 'string' ? { purgeId } : {}) }
  },
}
