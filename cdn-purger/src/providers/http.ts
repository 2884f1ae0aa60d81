import { basePath, jsonCall } from './profile.ts'
import type { Endpoint, ProviderProfile } from './profile.ts'

const call = (endpoint: Endpoint, body: unknown) =>
  jsonCall(
    `${basePath(endpoint) || '/'}${endpoint.url.search}`,
    { authorization: `Bearer ${endpoint.credentials['token'] ?? ''}` },
    body,
  )

/** Any endpoint that takes `{"keys": […]}` or `{"everything": true}` with a bearer token, and answers by status. */
export const HTTP: ProviderProfile = {
  kind: 'http',
  credentials: ['token'],
  limits: { maxKeys: 100, maxBytes: 16_384, concurrency: 2, rates: [] },
  keys: { alphabet: /^[\x21-\x7e]+$/, maxBytes: 1_024, foldsCase: false },
  canSoft: true,
  throttledMs: 5_000,
  purge: (keys, endpoint) => call(endpoint, endpoint.isSoft ? { keys, soft: true } : { keys }),
  purgeAll: (endpoint) => call(endpoint, { everything: true }),
}
