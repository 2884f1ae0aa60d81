import { randomUUID } from 'node:crypto'
import { signSigV4 } from '../adapters/sigv4.ts'
import { basePath } from './profile.ts'
import type { Endpoint, ProviderProfile, PurgeCall } from './profile.ts'

const escapeXml = (text: string) => text.replace(/[<>&]/g, (character) => `&#${character.charCodeAt(0)};`)

function call(endpoint: Endpoint, items: readonly string[]): PurgeCall {
  const paths = items.map((item) => `<Path>${escapeXml(item)}</Path>`).join('')
  const body =
    '<?xml version="1.0" encoding="UTF-8"?>' +
    '<InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/">' +
    `<Paths><Quantity>${items.length}</Quantity><Items>${paths}</Items></Paths>` +
    `<CallerReference>${randomUUID()}</CallerReference></InvalidationBatch>`
  return {
    method: 'POST',
    path: `${basePath(endpoint)}/invalidation`,
    headers: { 'content-type': 'application/xml' },
    body,
  }
}

/**
 * CloudFront's invalidation by cache tag: `https://cloudfront.amazonaws.com/2020-05-31/distribution/ID`, whose
 * distribution names our tag header in CacheTagConfig. Every tag is billed as a path.
 */
export const CLOUDFRONT: ProviderProfile = {
  kind: 'cloudfront',
  credentials: ['accessKeyId', 'secretAccessKey', 'sessionToken?'],
  limits: {
    maxKeys: 1_000,
    maxBytes: 262_144,
    concurrency: 4,
    // 3,000 paths may be in progress, and each takes up to 25 s.
    rates: [{ unit: 'keys', perSecond: 120, burst: 3_000 }],
  },
  keys: { alphabet: /^[\x21-\x2b\x2d-\x7e]+$/, maxBytes: 256, foldsCase: true },
  canSoft: false,
  throttledMs: 5_000,
  sign: signSigV4({ service: 'cloudfront', region: 'us-east-1' }),
  purge: (keys, endpoint) =>
    call(
      endpoint,
      keys.map((key) => `#${key}`),
    ),
  purgeAll: (endpoint) => call(endpoint, ['/*']),
  classify({ status, text }) {
    // Both come as 400; neither is the fault of a key.
    const isThrottled = /<Code>(TooManyInvalidationsInProgress|Throttling|RequestLimitExceeded)/.test(text)
    return status >= 400 && isThrottled ? { kind: 'throttled', retryAfterMs: null } : undefined
  },
  readPurged({ text }) {
    const id = /<Id>([A-Za-z0-9]+)<\/Id>/.exec(text)?.[1]
    return { objects: null, ...(id === undefined ? {} : { purgeId: id }) }
  },
}
