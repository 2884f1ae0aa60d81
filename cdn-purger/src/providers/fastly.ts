import { basePath, jsonCall, parseObject } from './profile.ts'
import type { ProviderProfile } from './profile.ts'

/**
 * Fastly's batch purge by surrogate key, or anything that answers it: `https://api.fastly.com/service/SERVICE_ID`. The
 * scope of its token should be purge_select; with purge_all an epoch flushes untagged answers too.
 */
export const FASTLY: ProviderProfile = {
  kind: 'fastly',
  credentials: ['token'],
  limits: {
    // More than 256 keys are refused and none is purged. The bytes bound the JSON body.
    maxKeys: 256,
    maxBytes: 65_536,
    concurrency: 4,
    // Listed as 100,000 key purges an hour per customer; nothing says how many at once.
    rates: [{ unit: 'keys', perSecond: 100_000 / 3_600, burst: 2_560 }],
  },
  keys: { alphabet: /^[\x21-\x7e]+$/, maxBytes: 1_024, foldsCase: false },
  canSoft: true,
  throttledMs: 5_000,
  quota: { remaining: 'fastly-ratelimit-remaining', resetEpochSeconds: 'fastly-ratelimit-reset' },
  purge: (keys, endpoint) =>
    jsonCall(
      `${basePath(endpoint)}/purge`,
      {
        'fastly-key': endpoint.credentials['token'] ?? '',
        ...(endpoint.isSoft ? { 'fastly-soft-purge': '1' } : {}),
      },
      { surrogate_keys: keys },
    ),
  // Cannot be soft.
  purgeAll: (endpoint) => ({
    method: 'POST',
    path: `${basePath(endpoint)}/purge_all`,
    headers: { 'fastly-key': endpoint.credentials['token'] ?? '', accept: 'application/json' },
  }),
  readPurged({ text }) {
    // One id per key; it does not say how many objects a purge removed.
    const id = Object.values(parseObject(text)).find((value) => typeof value === 'string')
    return { objects: null, ...(id === undefined ? {} : { purgeId: id }) }
  },
}
