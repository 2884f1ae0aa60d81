import { randomUUID } from 'node:crypto'
import type { RateLimit } from '../../ports.ts'
import type { Credentials, ProviderKind } from '../../providers/profile.ts'
import { parseObject } from '../../providers/profile.ts'
import { hasSecret, isEdgeGrid, isSigV4 } from './signatures.ts'
import type { ApiRequest } from './signatures.ts'

/** What an API answers. */
export interface ApiReply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string
}

/** What a request asks for, or how it is refused. */
export type Asked = { readonly keys: readonly string[] | 'everything' } | { readonly refused: ApiReply }

/** What remains of the emptiest bucket. */
export interface Quota {
  readonly remaining: number
  /** Until a request would be taken. */
  readonly waitMs: number
  readonly wallMs: number
}

/** How one provider's API behaves, by its documents: requests, limits, errors. Independent of the profile that talks to it. */
export interface Dialect {
  /** Path of the endpoint, as the tiers name it. */
  readonly path: string
  readonly rates: readonly RateLimit[]
  readonly foldsCase: boolean
  isKnown(request: ApiRequest, credentials: Credentials): boolean
  /** Null: there is nothing at this address. */
  read(request: ApiRequest): Asked | null
  accepted(keys: readonly string[] | 'everything', quota: Quota, request: ApiRequest): ApiReply
  throttled(quota: Quota): ApiReply
  denied(): ApiReply
}

const json = (status: number, body: unknown, headers: Record<string, string> = {}): ApiReply => ({
  status,
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(body),
})
const seconds = (ms: number) => String(Math.max(1, Math.ceil(ms / 1_000)))
const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''

function listOf(body: string, field: string): string[] | null {
  const list = parseObject(body)[field]
  return Array.isArray(list) && list.length > 0 && list.every(isText) ? list : null
}

/** Fastly takes one key in the path, or up to 256 in the body or in a header. */
const fastly: Dialect = {
  path: '/service/SU1Z0isxPaozGVKXdv0eY',
  rates: [{ unit: 'keys', perSecond: 100_000 / 3_600, burst: 2_560 }],
  foldsCase: false,
  isKnown: ({ headers }, { token }) => hasSecret(headers['fastly-key'], token ?? ''),
  read({ path, headers, body }) {
    const fail = (detail: string): Asked => ({ refused: json(400, { msg: 'Bad request', detail, status: 'fail' }) })
    if (path === `${this.path}/purge_all`) return { keys: 'everything' }
    const single = new RegExp(`^${this.path}/purge/([^/]+)$`).exec(path)?.[1]
    if (single === undefined && path !== `${this.path}/purge`) return null
    const field = headers['surrogate-key']
    const listed = field === undefined ? listOf(body, 'surrogate_keys') : field.split(/\s+/).filter(Boolean)
    const keys = single === undefined ? listed : [decodeURIComponent(single)]
    if (!keys || keys.length === 0) return fail('no surrogate keys')
    if (keys.length > 256) return fail('too many surrogate keys, none purged')
    if (keys.some((key) => Buffer.byteLength(key) > 1_024 || !/^[\x21-\x7e]+$/.test(key))) return fail('invalid key')
    return { keys }
  },
  accepted(keys, { remaining, waitMs, wallMs }, { path }) {
    const limit = {
      'fastly-ratelimit-remaining': String(Math.floor(remaining)),
      'fastly-ratelimit-reset': String(Math.ceil((wallMs + waitMs) / 1_000)),
    }
    if (keys === 'everything') return json(200, { status: 'ok' }, limit)
    if (!path.endsWith('/purge')) return json(200, { status: 'ok', id: randomUUID() }, limit)
    return json(200, Object.fromEntries(keys.map((key) => [key, randomUUID()])), limit)
  },
  throttled({ waitMs, wallMs }) {
    const headers = {
      'fastly-ratelimit-remaining': '0',
      'fastly-ratelimit-reset': String(Math.ceil((wallMs + waitMs) / 1_000)),
    }
    return json(429, { msg: 'Too many requests' }, headers)
  },
  denied: () => json(401, { msg: 'Provided credentials are missing or invalid' }),
}

const cloudflareReply = (status: number, errors: readonly unknown[], headers?: Record<string, string>) =>
  json(status, { success: errors.length === 0, errors, messages: [], result: { id: randomUUID() } }, headers)

/** Cloudflare, Pro plan. */
const cloudflare: Dialect = {
  path: '/client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353',
  rates: [{ unit: 'requests', perSecond: 5, burst: 25 }],
  foldsCase: true,
  isKnown: ({ headers }, { token }) => hasSecret(headers['authorization'], `Bearer ${token ?? ''}`),
  read({ path, body }) {
    const fail = (code: number, message: string): Asked => ({ refused: cloudflareReply(400, [{ code, message }]) })
    if (path !== `${this.path}/purge_cache`) return null
    if (parseObject(body)['purge_everything'] === true) return { keys: 'everything' }
    const keys = listOf(body, 'tags')
    if (!keys)
      return fail(1_012, 'Request must contain one of "purge_everything", "files", "tags", "hosts" or "prefixes"')
    if (keys.length > 100) return fail(1_094, 'Unable to purge more than 100 tags at a time')
    if (keys.some((key) => key.length > 1_024 || !/^[\x21-\x2b\x2d-\x7e]+$/.test(key)))
      return fail(1_107, 'invalid tag')
    return { keys }
  },
  accepted: () => cloudflareReply(200, []),
  throttled: ({ waitMs }) =>
    cloudflareReply(429, [{ code: 10_000, message: 'Rate limit reached' }], { 'retry-after': seconds(waitMs) }),
  denied: () => cloudflareReply(403, [{ code: 10_000, message: 'Authentication error' }]),
}

const problem = (status: number, title: string, headers: Record<string, string> = {}): ApiReply =>
  json(
    status,
    { httpStatus: status, title, supportId: randomUUID() },
    { 'content-type': 'application/problem+json', ...headers },
  )

const akamai: Dialect = {
  path: '/production?cpcode=123456',
  rates: [
    { unit: 'requests', perSecond: 50, burst: 100 },
    { unit: 'keys', perSecond: 500 / 60, burst: 5_000 },
  ],
  foldsCase: false,
  isKnown: isEdgeGrid,
  read({ path, body }) {
    const type = /^\/ccu\/v3\/(?:invalidate|delete)\/(tag|cpcode)\/production$/.exec(path)?.[1]
    if (type === undefined) return null
    if (type === 'cpcode') {
      const isOurs = /^\{"objects":\[123456\]\}$/.test(body)
      return isOurs ? { keys: 'everything' } : { refused: problem(403, 'unauthorized cpcode') }
    }
    if (Buffer.byteLength(body) > 50_000) return { refused: problem(413, 'Request body too large') }
    const keys = listOf(body, 'objects')
    if (!keys) return { refused: problem(400, 'objects missing') }
    const isBad = keys.some((key) => key.length > 128 || /[\s:@*{}<>\\,"()]/.test(key))
    return isBad ? { refused: problem(400, 'invalid cache tag') } : { keys }
  },
  accepted: (_, { remaining }) =>
    json(
      201,
      { httpStatus: 201, estimatedSeconds: 5, purgeId: randomUUID(), detail: 'Request accepted' },
      { 'x-ratelimit-remaining': String(Math.floor(remaining)) },
    ),
  throttled: () => problem(429, 'Rate Limit exceeded', { 'x-ratelimit-remaining': '0' }),
  denied: () => problem(401, 'Not authorized'),
}

const xml = (status: number, body: string): ApiReply => ({
  status,
  headers: { 'content-type': 'text/xml' },
  body: `<?xml version="1.0"?>\n${body}`,
})
const awsError = (status: number, code: string) =>
  xml(status, `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code></Error></ErrorResponse>`)

/** CloudFront. What is in progress is done after 25 s, so 3,000 at once are 120 a second. */
const cloudfront: Dialect = {
  path: '/2020-05-31/distribution/EDFDVBD6EXAMPLE',
  rates: [{ unit: 'keys', perSecond: 120, burst: 3_000 }],
  foldsCase: true,
  isKnown: isSigV4,
  read({ path, body }) {
    if (path !== `${this.path}/invalidation`) return null
    const items = [...body.matchAll(/<Path>([^<]*)<\/Path>/g)].map((match) => match[1] ?? '')
    const quantity = Number(/<Quantity>(\d+)<\/Quantity>/.exec(body)?.[1])
    if (items.length === 0 || quantity !== items.length || !/<CallerReference>[^<]+</.test(body))
      return { refused: awsError(400, 'InconsistentQuantities') }
    if (items.length > 3_000) return { refused: awsError(400, 'BatchTooLarge') }
    if (items.includes('/*')) return { keys: 'everything' }
    const isBad = items.some((item) => !/^#[\x21-\x2b\x2d-\x7e]{1,256}$/.test(item))
    return isBad ? { refused: awsError(400, 'InvalidArgument') } : { keys: items.map((item) => item.slice(1)) }
  },
  accepted: () =>
    xml(
      201,
      `<Invalidation><Id>I${Date.now().toString(36).toUpperCase()}</Id><Status>InProgress</Status></Invalidation>`,
    ),
  throttled: () => awsError(400, 'TooManyInvalidationsInProgress'),
  denied: () => awsError(403, 'SignatureDoesNotMatch'),
}

const googleError = (status: number, reason: string) =>
  json(status, { error: { code: status, message: reason, errors: [{ reason, domain: 'usageLimits' }] } })

const google: Dialect = {
  path: '/compute/v1/projects/p/global/urlMaps/map',
  rates: [{ unit: 'requests', perSecond: 500 / 60, burst: 50 }],
  foldsCase: false,
  isKnown: ({ headers }, { token }) => hasSecret(headers['authorization'], `Bearer ${token ?? ''}`),
  read({ path, body }) {
    if (path !== `${this.path}/invalidateCache`) return null
    if (parseObject(body)['path'] === '/*') return { keys: 'everything' }
    const keys = listOf(body, 'cacheTags')
    if (!keys || keys.length > 10 || keys.some((key) => key.length > 120))
      return { refused: googleError(400, 'invalid') }
    return { keys }
  },
  accepted: () => json(200, { kind: 'compute#operation', name: `operation-${randomUUID()}`, status: 'RUNNING' }),
  // Quotas of the Compute API answer with 403.
  throttled: () => googleError(403, 'rateLimitExceeded'),
  denied: () => googleError(401, 'authError'),
}

const bunny: Dialect = {
  path: '/pullzone/1',
  rates: [{ unit: 'requests', perSecond: 0.5, burst: 20 }],
  foldsCase: false,
  isKnown: ({ headers }, { token }) => hasSecret(headers['accesskey'], token ?? ''),
  read({ path, body }) {
    if (path !== `${this.path}/purgeCache`) return null
    const tag = parseObject(body)['CacheTag']
    return { keys: isText(tag) ? [tag] : 'everything' }
  },
  accepted: () => ({ status: 204, body: '' }),
  throttled: () => ({ status: 429, body: '' }),
  denied: () => json(401, { Message: 'Authorization has been denied for this request.' }),
}

const http: Dialect = {
  path: '/purge',
  rates: [],
  foldsCase: false,
  isKnown: ({ headers }, { token }) => hasSecret(headers['authorization'], `Bearer ${token ?? ''}`),
  read({ path, body }) {
    if (path !== this.path) return null
    if (parseObject(body)['everything'] === true) return { keys: 'everything' }
    const keys = listOf(body, 'keys')
    return keys ? { keys } : { refused: json(400, {}) }
  },
  accepted: () => json(200, {}),
  throttled: ({ waitMs }) => ({ status: 429, headers: { 'retry-after': seconds(waitMs) }, body: '' }),
  denied: () => ({ status: 401, body: '' }),
}

/** Every hosted provider; Varnish needs no emulation. */
export const DIALECTS: Readonly<Record<Exclude<ProviderKind, 'varnish'>, Dialect>> = {
  fastly,
  cloudflare,
  cloudfront,
  akamai,
  google,
  bunny,
  http,
}
