import { randomUUID } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { freshnessOf } from './freshness.ts'
import { ageOf, ObjectStore } from './object-store.ts'
import type { StoredObject } from './object-store.ts'
import { endToEnd, Origin } from './origin.ts'
import type { OriginResponse, OriginStream } from './origin.ts'
import { answerObject, answerPassed, answerStream, answerUnavailable, withoutFields } from './answer.ts'
import type { ObjectAnswer } from './answer.ts'

/** What the edge cache needs. */
export interface EdgeCacheOptions {
  readonly originUrl: string
  /** Bound of the store, bytes. Default 64 MiB. */
  readonly maxBytes?: number | undefined
  /** Larger bodies are passed through, not stored. Default 4 MiB. */
  readonly maxObjectBytes?: number | undefined
  /** Longest silence of the origin. Default 10 s. */
  readonly originTimeoutMs?: number | undefined
  readonly nowMs?: (() => number) | undefined
  /**
   * Unsafe, for tests: stores a response whose fetch a purge of its tags overlapped, as hosted CDNs and Varnish do.
   */
  readonly unsafeStoreOverlapped?: boolean | undefined
}

/** One fetch on behalf of everyone who misses one URL; it remembers what was purged since it began. */
interface Flight {
  readonly purged: Set<string>
  purgedAll: boolean
}

/** Requests that may carry or ask for private data never touch the store. */
const PASS_FIELDS = ['authorization', 'cookie', 'lockstep-token', 'range'] as const
const NOT_FORWARDED = ['if-none-match', 'if-modified-since', 'if-range', 'surrogate-key', 'xkey'] as const
/** Names a request, never an answer that others get as well. */
const REQUEST_ID = 'x-request-id'
const REQUEST_ID_FORM = /^[\w.~-]{1,128}$/
const NOT_KEPT = ['Age', 'Content-Length', REQUEST_ID] as const
const MIB = 1_048_576

/** A shared HTTP cache (RFC 9111, RFC 9213) with surrogate keys. */
export class EdgeCache {
  readonly #options: EdgeCacheOptions
  readonly #origin: Origin
  readonly #store: ObjectStore
  readonly #nowMs: () => number
  readonly #shared = new Map<string, Promise<void>>()
  readonly #flights = new Set<Flight>()
  readonly counts = { hit: 0, miss: 0, pass: 0, stale: 0, revalidated: 0, purgedObjects: 0, overlapped: 0 }

  constructor(options: EdgeCacheOptions) {
    this.#options = options
    this.#nowMs = options.nowMs ?? (() => performance.now())
    this.#store = new ObjectStore(options.maxBytes ?? 64 * MIB)
    this.#origin = new Origin(options.originUrl, {
      timeoutMs: options.originTimeoutMs ?? 10_000,
      maxObjectBytes: options.maxObjectBytes ?? 4 * MIB,
    })
  }

  status(): Readonly<Record<string, number>> {
    return { objects: this.#store.size, bytes: this.#store.bytes, ...this.counts }
  }

  /** Removes or expires the objects of the keys, also those that a running fetch is about to bring. */
  purge(keys: readonly string[], soft: boolean): number {
    for (const flight of this.#flights) for (const key of keys) flight.purged.add(key)
    const count = soft ? this.#store.expire(keys, this.#nowMs()) : this.#store.purge(keys)
    this.counts.purgedObjects += count
    return count
  }

  purgeAll(): number {
    for (const flight of this.#flights) flight.purgedAll = true
    const count = this.#store.purgeAll()
    this.counts.purgedObjects += count
    return count
  }

  close(): void {
    this.#origin.close()
  }

  /** Answers one request; never throws. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    const url = `${request.headers.host ?? ''}${request.url ?? '/'}`
    if (request.method !== 'GET' && request.method !== 'HEAD') return this.#pass(url, request, response)
    if (PASS_FIELDS.some((name) => request.headers[name] !== undefined)) return this.#pass(url, request, response)
    if (!REQUEST_ID_FORM.test(String(request.headers[REQUEST_ID] ?? ''))) request.headers[REQUEST_ID] = randomUUID()
    if (this.#answerStored(url, request, response)) return
    this.#miss(url, request, response).catch(() => answerUnavailable(response))
  }

  #find(url: string, request: IncomingMessage): StoredObject | undefined {
    return this.#store.find(url, (name) => String(request.headers[name] ?? ''))
  }

  #ageMs(object: StoredObject): number {
    return ageOf(object, this.#nowMs())
  }

  #answerStored(url: string, request: IncomingMessage, response: ServerResponse): boolean {
    const object = this.#find(url, request)
    if (!object) return false
    const ageMs = this.#ageMs(object)
    const overMs = ageMs - object.freshness.lifetimeMs
    if (overMs < 0) {
      this.counts.hit += 1
      answerObject(request, response, { kind: 'object', object, ageMs, label: 'HIT' })
      return true
    }
    if (overMs >= object.freshness.staleWhileRevalidateMs) return false
    this.counts.stale += 1
    answerObject(request, response, { kind: 'object', object, ageMs, label: 'STALE' })
    if (!this.#shared.has(url)) this.#share(url, this.#fetchInto(url, request)).catch(() => undefined)
    return true
  }

  /** Joins the running fetch of this URL, or leads one. A follower that cannot use its result fetches alone. */
  async #miss(url: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const running = this.#shared.get(url)
    if (running) {
      await running.catch(() => undefined)
      if (this.#answerStored(url, request, response)) return
    }
    const fetched = this.#fetchInto(url, request)
    const result = await (running ? fetched : this.#share(url, fetched))
    if (result.kind === 'stream') return answerStream(request, response, result)
    answerObject(request, response, result)
  }

  async #share<T>(url: string, fetched: Promise<T>): Promise<T> {
    const settled = fetched.then(
      () => undefined,
      () => undefined,
    )
    this.#shared.set(url, settled)
    try {
      return await fetched
    } finally {
      if (this.#shared.get(url) === settled) this.#shared.delete(url)
    }
  }

  async #fetchInto(url: string, request: IncomingMessage): Promise<ObjectAnswer | OriginStream> {
    const flight: Flight = { purged: new Set(), purgedAll: false }
    const stale = this.#find(url, request)
    this.#flights.add(flight)
    const askedMs = this.#nowMs()
    try {
      const headers = forwardedHeaders(request.headers, stale)
      const answer = await this.#origin.fetch({ method: 'GET', url: request.url ?? '/', headers })
      if (answer.kind === 'stream') return answer
      if (answer.status === 304 && stale) return this.#refresh(stale, answer, flight)
      if (answer.status >= 500 && stale && this.#mayServeOnError(stale)) return this.#staleResult(stale)
      return this.#keep({ url, request, answer, flight, askedMs })
    } catch (error) {
      if (stale && this.#mayServeOnError(stale)) return this.#staleResult(stale)
      throw error
    } finally {
      this.#flights.delete(flight)
    }
  }

  #mayServeOnError(stale: StoredObject): boolean {
    return this.#ageMs(stale) - stale.freshness.lifetimeMs < stale.freshness.staleIfErrorMs
  }

  #staleResult(object: StoredObject): ObjectAnswer {
    this.counts.stale += 1
    return { kind: 'object', object, ageMs: this.#ageMs(object), label: 'STALE' }
  }

  #isOverlapped(flight: Flight, tags: readonly string[]): boolean {
    const overlapped = flight.purgedAll || tags.some((tag) => flight.purged.has(tag))
    if (overlapped) this.counts.overlapped += 1
    return overlapped && this.#options.unsafeStoreOverlapped !== true
  }

  /** Updates a stored response by a 304 (RFC 9111 §4.3.4). A 304 without tags keeps those of the object. */
  #refresh(object: StoredObject, answer: OriginResponse, flight: Flight): ObjectAnswer {
    this.counts.revalidated += 1
    const tags = answer.headers['surrogate-key'] === undefined ? object.tags : tagsOf(answer.headers)
    const changed = answer.rawHeaders.filter((_, index) => index % 2 === 0)
    const kept = withoutFields(object.headers, [...changed, 'Age'])
    object.headers = [...kept, ...withoutFields(answer.rawHeaders, NOT_KEPT)]
    const renewed = freshnessOf(object.status, asFields(object.headers, answer.headers.age), Date.now())
    object.freshness = renewed
    object.storedMs = this.#nowMs()
    if (!renewed.storable || this.#isOverlapped(flight, [...object.tags, ...tags])) this.#store.remove(object)
    else this.#store.retag(object, tags)
    return { kind: 'object', object, ageMs: renewed.ageMs, label: 'REVALIDATED' }
  }

  #keep(fetched: Fetched): ObjectAnswer {
    const { url, request, answer, flight, askedMs } = fetched
    this.counts.miss += 1
    const { headers } = answer
    const freshness = freshnessOf(answer.status, headers, Date.now())
    const names = (headers.vary ?? '').split(',').map((name) => name.trim().toLowerCase())
    const object: StoredObject = {
      url,
      status: answer.status,
      headers: withoutFields(answer.rawHeaders, NOT_KEPT),
      body: answer.body,
      etag: headers.etag,
      lastModified: headers['last-modified'],
      vary: names.filter((name) => name !== '').map((name) => [name, String(request.headers[name] ?? '')] as const),
      tags: tagsOf(headers),
      freshness,
      // The response is at least as old as the request for it.
      storedMs: askedMs,
    }
    if (freshness.storable && !this.#isOverlapped(flight, object.tags)) this.#store.put(object)
    return { kind: 'object', object, ageMs: this.#ageMs(object), label: 'MISS' }
  }

  #pass(url: string, request: IncomingMessage, response: ServerResponse): void {
    this.counts.pass += 1
    const headers = asOutgoing(endToEnd(request.rawHeaders, request.headers.connection))
    const method = request.method ?? 'GET'
    this.#origin
      .open({ method, url: request.url ?? '/', headers, body: request })
      .then((message) => {
        const status = message.statusCode ?? 502
        const isUnsafe = !['GET', 'HEAD', 'OPTIONS', 'TRACE'].includes(method)
        // A successful unsafe method invalidates its target (RFC 9111 §4.4).
        if (isUnsafe && status >= 200 && status < 400) this.#store.removeUrl(url)
        answerPassed(response, message, endToEnd(message.rawHeaders, message.headers.connection))
      })
      .catch(() => answerUnavailable(response))
  }
}

interface Fetched {
  readonly url: string
  readonly request: IncomingMessage
  readonly answer: OriginResponse
  readonly flight: Flight
  readonly askedMs: number
}

function tagsOf(headers: IncomingHttpHeaders): string[] {
  return String(headers['surrogate-key'] ?? '')
    .split(/\s+/)
    .filter((tag) => tag !== '')
}

function forwardedHeaders(headers: IncomingHttpHeaders, stale: StoredObject | undefined): OutgoingHttpHeaders {
  const forwarded: OutgoingHttpHeaders = { ...headers }
  for (const name of NOT_FORWARDED) delete forwarded[name]
  for (const name of ['connection', 'keep-alive', 'transfer-encoding', 'te', 'upgrade']) delete forwarded[name]
  if (stale?.etag) forwarded['if-none-match'] = stale.etag
  if (stale?.lastModified) forwarded['if-modified-since'] = stale.lastModified
  return forwarded
}

function asOutgoing(rawHeaders: readonly string[]): OutgoingHttpHeaders {
  const headers: Record<string, string[]> = {}
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase()
    ;(headers[name] ??= []).push(rawHeaders[index + 1] ?? '')
  }
  // Node refuses a list for fields that may occur only once.
  return Object.fromEntries(
    Object.entries(headers).map(([name, values]) => [name, values.length === 1 ? values[0] : values]),
  )
}

function asFields(rawHeaders: readonly string[], age: string | undefined): IncomingHttpHeaders {
  const fields: Record<string, string> = {}
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase()
    const before = fields[name]
    fields[name] = before === undefined ? (rawHeaders[index + 1] ?? '') : `${before}, ${rawHeaders[index + 1] ?? ''}`
  }
  if (age !== undefined) fields.age = age
  const { 'set-cookie': cookie, ...others } = fields
  return cookie === undefined ? others : { ...others, 'set-cookie': [cookie] }
}
