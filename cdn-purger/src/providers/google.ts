import { signGoogle } from '../adapters/google-token.ts'
import { basePath, jsonCall, parseObject } from './profile.ts'
import type { Endpoint, ProviderProfile } from './profile.ts'

const call = (endpoint: Endpoint, body: unknown) => jsonCall(`${basePath(endpoint)}/invalidateCache`, {}, body)

/**
 * Cloud CDN's invalidation by cache tag: `https://compute.googleapis.com/compute/v1/projects/P/global/urlMaps/MAP`. It
 * takes effect in about 10 s, so `LOCKSTEP_REBOUND_MS` should be larger.
 */
export const GOOGLE: ProviderProfile = {
  kind: 'google',
  // Without one it is taken from the metadata server of the machine or pod.
  credentials: ['token?'],
  limits: {
    maxKeys: 10,
    maxBytes: 16_384,
    concurrency: 4,
    rates: [{ unit: 'requests', perSecond: 500 / 60, burst: 50 }],
  },
  keys: { alphabet: /^[\x21-\x2b\x2d-\x7e]+$/, maxBytes: 120, foldsCase: false },
  canSoft: false,
  throttledMs: 5_000,
  sign: signGoogle,
  purge: (keys, endpoint) => call(endpoint, { cacheTags: keys }),
  purgeAll: (endpoint) => call(endpoint, { path: '/*' }),
  classify({ status, text }) {
    // Quotas answer with 403 too.
    const isQuota = status === 403 && /rateLimitExceeded|quotaExceeded|RESOURCE_EXHAUSTED/.test(text)
    return isQuota ? { kind: 'throttled', retryAfterMs: null } : undefined
  },
  readPurged({ text }) {
    const { name } = parseObject(text)
    return { objects: null, ...(typeof name === 'string' ? { purgeId: name } : {}) }
  },
}
