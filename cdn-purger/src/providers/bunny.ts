import { basePath, jsonCall } from './profile.ts'
import type { Endpoint, ProviderProfile } from './profile.ts'

const call = (endpoint: Endpoint, body: unknown) =>
  jsonCall(`${basePath(endpoint)}/purgeCache`, { accesskey: endpoint.credentials['token'] ?? '' }, body)

/** Bunny's purge of a pull zone, one tag a request: `https://api.bunny.net/pullzone/ID`. */
export const BUNNY: ProviderProfile = {
  kind: 'bunny',
  credentials: ['token'],
  limits: {
    maxKeys: 1,
    maxBytes: 1_024,
    concurrency: 2,
    // Which class tags belong to is not stated; this is the slower one.
    rates: [{ unit: 'requests', perSecond: 0.5, burst: 20 }],
  },
  keys: { alphabet: /^[\x21-\x2b\x2d-\x7e]+$/, maxBytes: 1_023, foldsCase: false },
  canSoft: false,
  throttledMs: 5_000,
  purge: (keys, endpoint) => call(endpoint, { CacheTag: keys[0] }),
  purgeAll: (endpoint) => call(endpoint, {}),
}
