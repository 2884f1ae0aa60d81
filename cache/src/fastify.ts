import type { Stamp } from '@lockstep/schemas'
import type { FastifyPluginCallback, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { etagOf, Renderings, surrogateKeys, type Rendering } from './fastify-rendering.ts'
import { pageKey, pageOf, type CachedRouteOptions, type Page } from './fastify-route.ts'
import { verifyToken } from './token.ts'
import type { Cache, Entry, Layer, ReadOptions, ReadResult } from './types.ts'

/** A header in which a CDN finds the tags of an answer. */
export type TagHeader = 'surrogate-key' | 'cache-tag'

const TAG_HEADERS: readonly TagHeader[] = ['surrogate-key', 'cache-tag']
const DEFAULT_TAG_HEADERS: readonly TagHeader[] = ['surrogate-key']

/** What the plugin needs. Durations as their names say. */
export interface FastifyLockstepOptions {
  readonly cache: Cache
  /** Edge lifetime of an answer while everything is well. Default 60. */
  readonly edgeTtlSeconds?: number | undefined
  /** Edge lifetime of a 404. Default 10. */
  readonly notFoundTtlSeconds?: number | undefined
  /** An answer with longer tags is not kept at the edge, which would drop the rest unsaid. Default 8,000 (Bunny: 1,024). */
  readonly maxTagBytes?: number | undefined
  /** The same for their number. Default unlimited (CloudFront: 50, Akamai: 128). */
  readonly maxTags?: number | undefined
  /** After a tag was fenced, answers get an edge lifetime of 1 s for this long: until the second purge. Default 5,000. */
  readonly reboundMs?: number | undefined
  /** Which headers carry the tags: `surrogate-key` (Fastly, Varnish), `cache-tag` (Cloudflare, Akamai). Default the first. */
  readonly tagHeaders?: readonly TagHeader[] | undefined
  /** Verifies tokens of requests (header `Lockstep-Token`, cookie `lockstep-token`); without it they are ignored. */
  readonly tokenSecret?: string | undefined
  /** Puts `Cache-Status` on answers too that nothing was read for. Default: those keep their own headers. */
  readonly cacheStatusAlways?: boolean | undefined
}

/** The reads of one request: what its answer depends on. */
export interface RequestReads {
  /** Reads through the cache and notes tags, stamp and layer; the request's token applies unless one is given. */
  read<Args, V>(entry: Entry<Args, V>, args: Args, options?: ReadOptions): Promise<V | null>
  /** The token of the request, verified; null without one. */
  readonly token: Stamp | null
  /** What was read so far, in order. */
  readonly results: readonly ReadResult<unknown>[]
}

export type { CachedRouteOptions }

declare module 'fastify' {
  interface FastifyRequest {
    lockstep: RequestReads
  }
}

const DEFAULT_EDGE_TTL_SECONDS = 60
const DEFAULT_NOT_FOUND_TTL_SECONDS = 10
const DEFAULT_REBOUND_MS = 5_000
/** Lifetime where a fetch in flight may carry what has just been purged: the least that HTTP can say. */
const CAUTIOUS_TTL_SECONDS = 1
/** Half of what Fastly and Cloudflare keep, and less than a header of an untuned Varnish, which answers 503 from 8 KiB on. */
const DEFAULT_MAX_TAG_BYTES = 8_000

const LAYER_STATUS: Readonly<Record<Layer, string>> = {
  l1: 'lockstep-l1; hit',
  l2: 'lockstep-l1; fwd=miss, lockstep-l2; hit',
  coalesced: 'lockstep-l1; fwd=miss; collapsed',
  load: 'lockstep-l1; fwd=miss; stored',
  stale: 'lockstep-l1; hit; detail=stale',
}
/** Nothing was read: the request is no read, or the route asked no cache (RFC 9211 2.2). */
const NOT_A_READ = 'lockstep-l1; fwd=method'
const NOT_ASKED = 'lockstep-l1; fwd=bypass'
const LAYERS: readonly Layer[] = ['l1', 'l2', 'coalesced', 'load', 'stale']

const NO_DEMAND: ReadOptions = { token: null }

class Reads implements RequestReads {
  readonly token: Stamp | null
  readonly results: ReadResult<unknown>[] = []
  /** Set where the answer is the one value that was read. */
  rendering: Rendering | null = null

  readonly #demand: ReadOptions

  constructor(token: Stamp | null) {
    this.token = token
    this.#demand = token === null ? NO_DEMAND : { token }
  }

  read<Args, V>(entry: Entry<Args, V>, args: Args, options?: ReadOptions): Promise<V | null> {
    // Most answers are one hit, which costs one promise.
    try {
      const demand = options === undefined ? this.#demand : { ...options, token: options.token ?? this.token }
      const hit = entry.readLocal(args, demand)
      if (hit === undefined) return this.#readOn(entry, args, demand)
      this.results.push(hit)
      return Promise.resolve(hit.value)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  async #readOn<Args, V>(entry: Entry<Args, V>, args: Args, demand: ReadOptions): Promise<V | null> {
    const result = await entry.read(args, demand)
    this.results.push(result)
    return result.value
  }
}

/**
 * Caches the answers of a route whole: the handler runs for a miss only, once in the fleet, and its answer depends on all that
 * it reads through `request.lockstep.read`. It must return its payload (JSON) and leave the reply alone; what it throws is
 * not kept. Requests with credentials and other methods than GET and HEAD go past the cache.
 */
export function cachedRoute(
  cache: Cache,
  options: CachedRouteOptions,
  handler: (request: FastifyRequest) => unknown,
): (request: FastifyRequest) => Promise<unknown> {
  const { name, ttlMs, graceMs, maxStalenessMs } = options
  const pages = cache.define<FastifyRequest, Page>(name, {
    key: (request) => pageKey(options, request),
    load: async (request, { asOf }) => {
      const outer = request.lockstep
      const reads = new Reads(outer.token)
      request.lockstep = reads
      try {
        return pageOf(await handler(request), reads.results, asOf)
      } finally {
        request.lockstep = outer
      }
    },
    tags: (page) => page?.tags ?? [],
    ttlMs,
    graceMs,
    maxStalenessMs,
  })
  return async (request) => {
    if (isPersonal(request) || !isRead(request)) return handler(request)
    return (await request.lockstep.read(pages, request))?.payload ?? null
  }
}

/** What an answer's reads come to. */
interface Summary {
  readonly tags: readonly string[]
  readonly stamp: Stamp | null
  readonly layer: Layer
  readonly isStale: boolean
}

function summaryOf(results: readonly ReadResult<unknown>[], cache: Cache): Summary {
  const [only] = results
  if (only !== undefined && results.length === 1) {
    const { tags, stamp, layer } = only
    return { tags, stamp, layer, isStale: only.stale || (stamp !== null && cache.isOvertaken(tags, stamp)) }
  }
  const stamps = results.map(({ stamp }) => stamp)
  const isStamped = stamps.every((stamp) => stamp !== null)
  return {
    tags: [...new Set(results.flatMap(({ tags }) => tags))],
    stamp: isStamped ? stamps.reduce((least, stamp) => (stamp < least ? stamp : least)) : null,
    layer: LAYERS[Math.max(...results.map(({ layer }) => LAYERS.indexOf(layer)))] ?? 'load',
    // What a slow answer was read from may have changed since, and the second purge for that may be over: an edge must
    // not keep it even for a second.
    isStale: results.some(({ stale, tags, stamp }) => stale || (stamp !== null && cache.isOvertaken(tags, stamp))),
  }
}

const isPersonal = (request: FastifyRequest): boolean =>
  request.headers.authorization !== undefined || request.headers.cookie !== undefined

const isRead = (request: FastifyRequest): boolean => request.method === 'GET' || request.method === 'HEAD'

function edgeSeconds(options: FastifyLockstepOptions, reply: FastifyReply, { tags, stamp }: Summary): number {
  const { cache, reboundMs = DEFAULT_REBOUND_MS } = options
  const age = cache.freshnessAgeMs()
  // Whatever has become visible within `age` may be missing here, and its second purge comes `reboundMs` after that: the
  // other half is for the way to the edge. The barrier does not help where a process cannot acknowledge.
  const isDoubtful = stamp === null || age === null || age > Math.min(cache.maxStalenessMs, reboundMs) / 2
  if (isDoubtful || cache.fencedWithin(tags, reboundMs)) return CAUTIOUS_TTL_SECONDS
  if (reply.statusCode === 404) return options.notFoundTtlSeconds ?? DEFAULT_NOT_FOUND_TTL_SECONDS
  return options.edgeTtlSeconds ?? DEFAULT_EDGE_TTL_SECONDS
}

// A service has three.
const maxAges = new Map<number, string>()

function maxAge(seconds: number): string {
  let text = maxAges.get(seconds)
  if (text === undefined) maxAges.set(seconds, (text = `max-age=${seconds}`))
  return text
}

function forbidStoring(reply: FastifyReply, directive: 'no-store' | 'private, no-store'): void {
  reply.header('cache-control', directive)
  reply.removeHeader('cdn-cache-control')
  for (const name of TAG_HEADERS) reply.removeHeader(name)
}

/** Tells whether an edge would keep only a part of the tags, and a purge by one of the others miss the answer. */
function isTooLong(keys: string, options: FastifyLockstepOptions): boolean {
  const { maxTagBytes = DEFAULT_MAX_TAG_BYTES, maxTags } = options
  return keys.length > maxTagBytes || (maxTags !== undefined && keys.split(' ').length > maxTags)
}

/** Sets what lets edges keep the answer; tells whether they may. */
function allowStoring(
  options: FastifyLockstepOptions,
  reply: FastifyReply,
  summary: Summary,
  rendering: Rendering | null,
): boolean {
  const keys = rendering?.surrogateKeys(summary.tags) ?? surrogateKeys(summary.tags)
  if (summary.isStale || isTooLong(keys, options)) {
    forbidStoring(reply, 'no-store')
    return false
  }
  for (const name of options.tagHeaders ?? DEFAULT_TAG_HEADERS) {
    reply.header(name, name === 'cache-tag' ? keys.replaceAll(' ', ',') : keys)
  }
  reply.header('cdn-cache-control', maxAge(edgeSeconds(options, reply, summary)))
  reply.header('cache-control', 'public, max-age=0, must-revalidate')
  return true
}

/** Compares weakly, as `If-None-Match` demands: an edge that compressed the body has weakened the tag. */
function isKnown(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  return header.split(',').some((item) => item.trim() === '*' || item.trim().replace(/^W\//, '') === etag)
}

/** Who may keep an answer at all: anyone, nobody, or (personal) not even a cache that asks for all. */
type Audience = 'anyone' | 'nobody' | 'one person'

function audienceOf(request: FastifyRequest, reply: FastifyReply, reads: number): Audience {
  const own = String(reply.getHeader('cache-control') ?? '')
  if (isPersonal(request) || reply.hasHeader('set-cookie') || own.includes('private')) return 'one person'
  // A 404 that read nothing has no tag by which it could ever be purged.
  const isCacheable = reply.statusCode < 400 || (reply.statusCode === 404 && reads > 0)
  return isRead(request) && isCacheable && !own.includes('no-store') ? 'anyone' : 'nobody'
}

/** Sets the headers of an answer; answers what its reads come to when edges may keep it. */
function describe(options: FastifyLockstepOptions, request: FastifyRequest, reply: FastifyReply): Summary | null {
  const { results, rendering } = request.lockstep as Reads
  const audience = audienceOf(request, reply, results.length)
  if (audience === 'one person') forbidStoring(reply, 'private, no-store')
  if (audience === 'nobody') forbidStoring(reply, 'no-store')
  if (results.length === 0) {
    if (options.cacheStatusAlways) reply.header('cache-status', isRead(request) ? NOT_ASKED : NOT_A_READ)
    return null
  }
  const summary = summaryOf(results, options.cache)
  reply.header('cache-status', LAYER_STATUS[summary.layer])
  if (summary.stamp !== null) reply.header('lockstep-stamp', summary.stamp)
  return audience === 'anyone' && allowStoring(options, reply, summary, rendering) ? summary : null
}

// What Fastify says of an object that the handler chose no media type and no serialiser for.
const JSON_TYPE = 'application/json; charset=utf-8'

/** Tells whether the serialiser depends on the media type too; what a value looks like is then not the route's alone. */
const hasMediaTypes = ({ schema }: RouteOptions): boolean =>
  Object.values((schema?.response ?? {}) as Record<string, object>).some((response) => 'content' in response)

/** Lets a route that answers the very value it read do so without serialising and hashing it again. */
function renderOnce(route: RouteOptions): void {
  if (![route.method].flat().includes('GET') || hasMediaTypes(route)) return
  const renderings = new Renderings()
  route.preSerialization = [route.preSerialization ?? []].flat().concat((request, reply, payload, next) => {
    const reads = request.lockstep as Reads
    const [only] = reads.results
    const isValue = only !== undefined && only.value === payload && reads.results.length === 1
    if (isValue && isObject(payload) && reply.statusCode === 200 && reply.getHeader('content-type') === JSON_TYPE) {
      const rendering = renderings.of(payload, () => reply.serialize(payload) as string)
      reads.rendering = rendering
      reply.serializer(rendering.serialize)
    }
    next(null, payload)
  })
}

const isObject = (payload: unknown): payload is object => typeof payload === 'object' && payload !== null

const TOKEN_COOKIE = /(?:^|;) *lockstep-token=([^; ]+)/

/** The token as the request carries it: the header, or for browsers the cookie of that name. */
function tokenTextOf({ headers }: FastifyRequest): string | undefined {
  const header = headers['lockstep-token']
  if (typeof header === 'string') return header
  return headers.cookie === undefined ? undefined : TOKEN_COOKIE.exec(headers.cookie)?.[1]
}

/**
 * Gives every answer the headers that keep caches before the service in step: surrogate keys, an edge lifetime that shrinks
 * while anything is doubtful, a strong ETag, and no storing at all for personal answers and errors. Handlers read through
 * `request.lockstep.read`.
 */
export const fastifyLockstep: FastifyPluginCallback<FastifyLockstepOptions> = (app, options, done) => {
  app.decorateRequest('lockstep')
  app.addHook('onRoute', renderOnce)
  app.addHook('onRequest', (request, _reply, next) => {
    const text = tokenTextOf(request)
    const secret = options.tokenSecret
    request.lockstep = new Reads(secret !== undefined && text !== undefined ? verifyToken(text, secret) : null)
    next()
  })
  app.addHook('onSend', (request, reply, payload, next) => {
    const summary = describe(options, request, reply)
    const isBody = typeof payload === 'string' || Buffer.isBuffer(payload)
    if (!summary || reply.statusCode !== 200 || !isBody) return next(null, payload)
    const { rendering } = request.lockstep as Reads
    // Another hook may have changed the body on its way.
    const etag = rendering?.body === payload ? rendering.etag : etagOf(payload)
    reply.header('etag', etag)
    if (!isKnown(request.headers['if-none-match'], etag)) return next(null, payload)
    // The tags stay: an edge that revalidates replaces those it has with those of the 304.
    reply.code(304)
    reply.removeHeader('content-length')
    reply.removeHeader('content-type')
    return next(null, null)
  })
  done()
}

// Makes the hooks reach the routes of the instance that registers the plugin, as fastify-plugin does.
Object.assign(fastifyLockstep, {
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'lockstep',
})
