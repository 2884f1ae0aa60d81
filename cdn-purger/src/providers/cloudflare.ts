import { basePath, jsonCall, parseObject } from './profile.ts'
import type { Endpoint, ProviderProfile } from './profile.ts'

const call = (endpoint: Endpoint, body: unknown) =>
  jsonCall(
    `${basePath(endpoint)}/purge_cache`,
    { authorization: `Bearer ${endpoint.credentials['token'] ?? ''}` },
    body,
  )

/** Cloudflare's purge by Cache-Tag: `https://api.cloudflare.com/client/v4/zones/ZONE_ID`, token with Cache Purge. */
export const CLOUDFLARE: ProviderProfile = {
  kind: 'cloudflare',
  credentials: ['token'],
  limits: {
    maxKeys: 100,
    maxBytes: 110_000,
    concurrency: 8,
    // Of the Pro plan; Free 5/min (25), Business 10/s (50), Enterprise 50/s (500). The bucket is the account's.
    rates: [{ unit: 'requests', perSecond: 5, burst: 25 }],
  },
  // Tags are separated by commas in the header, and blanks are no part of them.
  keys: { alphabet: /^[\x21-\x2b\x2d-\x7e]+$/, maxBytes: 1_024, foldsCase: true },
  canSoft: false,
  throttledMs: 5_000,
  purge: (keys, endpoint) => call(endpoint, { tags: keys }),
  purgeAll: (endpoint) => call(endpoint, { purge_everything: true }),
  classify({ status, text }) {
    const { success } = parseObject(text)
    // Refused in the body of a 200.
    return status === 200 && success === false ? { kind: 'refused', detail: 'success is false' } : undefined
  },
  readPurged({ text }) {
    const { id } = (parseObject(text)['result'] ?? {}) as { id?: unknown }
    return { objects: null, ...(typeof id === 'string' ? { purgeId: id } : {}) }
  },
}
