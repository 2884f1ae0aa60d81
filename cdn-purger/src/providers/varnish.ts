import type { Endpoint, ProviderProfile, PurgeCall } from './profile.ts'

const call = (method: string, { credentials }: Endpoint, keys?: readonly string[]): PurgeCall => ({
  method,
  path: '/',
  headers: { 'x-purge-token': credentials['token'] ?? '', ...(keys ? { 'x-purge-keys': keys.join(' ') } : {}) },
})

/** A Varnish that runs our VCL with xkey: method PURGEKEYS, SOFTPURGEKEYS, and PURGEALL as a ban. */
export const VARNISH: ProviderProfile = {
  kind: 'varnish',
  credentials: ['token'],
  // An untuned Varnish takes header lines up to 8 KiB; 500 short keys hold its lock for a millisecond (measured).
  limits: { maxKeys: 500, maxBytes: 7_000, concurrency: 2, rates: [] },
  // xkey splits at blanks and commas.
  keys: { alphabet: /^[\x21-\x2b\x2d-\x7e]+$/, maxBytes: 1_024, foldsCase: false },
  canSoft: true,
  throttledMs: 1_000,
  // A server of one's own, which is restarted in seconds: meanwhile the tiers behind it wait.
  retryWithinMs: 1_000,
  purge: (keys, endpoint) => call(endpoint.isSoft ? 'SOFTPURGEKEYS' : 'PURGEKEYS', endpoint, keys),
  purgeAll: (endpoint) => call('PURGEALL', endpoint),
  readPurged({ text }) {
    const match = /"purged":\s*(\d+)/.exec(text)
    return { objects: match ? Number(match[1]) : null }
  },
}
