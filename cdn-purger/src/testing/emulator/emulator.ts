import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { RateLimit } from '../../ports.ts'
import type { Credentials, ProviderKind } from '../../providers/profile.ts'
import { DIALECTS } from './dialects.ts'
import type { ApiReply, Dialect, Quota } from './dialects.ts'
import type { ApiRequest } from './signatures.ts'

/** What an emulated API does instead of answering. */
export type Fault = 'throttle' | 'fail' | 'reset' | 'stall'

/** How an emulated provider is set up. */
export interface EmulatorOptions {
  readonly kind: Exclude<ProviderKind, 'varnish'>
  readonly credentials: Credentials
  /** Purges what was accepted on real caches; the answer is sent when it resolves. */
  readonly forward: (keys: readonly string[] | 'everything') => Promise<unknown>
  /** Replaces those that the documents name, as another plan has. */
  readonly rates?: readonly RateLimit[]
  /** Decides for each request that is in order. */
  readonly fault?: (() => Fault | null) | undefined
  /** How long a stalled request hangs before its connection ends, ms. */
  readonly stallMs?: number
}

/** What an emulator has seen. */
export interface EmulatorCounts {
  readonly requests: number
  readonly accepted: number
  /** Keys of accepted requests. */
  readonly keys: number
  readonly throttled: number
  readonly refused: number
  readonly denied: number
}

/** A running emulator. */
export interface Emulator {
  /** What a tier is to name. */
  readonly url: string
  counts(): EmulatorCounts
  stop(): Promise<void>
}

/** A bucket that fills up continuously; not the algorithm of the purger, so that each checks the other. */
class Bucket {
  readonly limit: RateLimit
  tokens: number
  #atMs: number

  constructor(limit: RateLimit, nowMs: number) {
    this.limit = limit
    this.tokens = limit.burst
    this.#atMs = nowMs
  }

  refill(nowMs: number): void {
    const { perSecond, burst } = this.limit
    this.tokens = Math.min(burst, this.tokens + ((nowMs - this.#atMs) * perSecond) / 1_000)
    this.#atMs = nowMs
  }
}

const MAX_BODY_BYTES = 1_048_576
const DEFAULT_STALL_MS = 30_000

/** Starts an API that behaves as its provider documents it, in front of whatever caches `forward` purges. */
export async function startEmulator(options: EmulatorOptions): Promise<Emulator> {
  const api = new EmulatedApi(options)
  const server = createServer((request, response) => void api.handle(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}${DIALECTS[options.kind].path}`,
    counts: () => ({ ...api.counts }),
    stop: async () => {
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
    },
  }
}

class EmulatedApi {
  readonly counts = { requests: 0, accepted: 0, keys: 0, throttled: 0, refused: 0, denied: 0 }
  readonly #options: EmulatorOptions
  readonly #dialect: Dialect
  readonly #buckets: readonly Bucket[]

  constructor(options: EmulatorOptions) {
    this.#options = options
    this.#dialect = DIALECTS[options.kind]
    const nowMs = performance.now()
    this.#buckets = (options.rates ?? this.#dialect.rates).map((limit) => new Bucket(limit, nowMs))
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request)
    this.counts.requests += 1
    const reply = body === null ? { status: 413, body: '' } : await this.#reply(toApi(request, body), response)
    if (reply === null || response.destroyed) return
    response.writeHead(reply.status, { ...reply.headers, 'content-length': Buffer.byteLength(reply.body) })
    response.end(reply.body)
  }

  /** Null: the connection was dealt with. */
  async #reply(request: ApiRequest, response: ServerResponse): Promise<ApiReply | null> {
    const dialect = this.#dialect
    if (!dialect.isKnown(request, this.#options.credentials)) return this.#count('denied', dialect.denied())
    const asked = request.method === 'POST' ? dialect.read(request) : null
    if (asked === null) return { status: 404, body: '' }
    if ('refused' in asked) return this.#count('refused', asked.refused)
    const fault = this.#options.fault?.() ?? null
    if (fault !== null) return await this.#fail(fault, response)
    const cost = asked.keys === 'everything' ? 1 : asked.keys.length
    const isTaken = this.#take(cost)
    const quota = this.#quota(cost)
    if (!isTaken) return this.#count('throttled', dialect.throttled(quota))
    await this.#options.forward(asked.keys)
    this.counts.accepted += 1
    this.counts.keys += cost
    return dialect.accepted(asked.keys, quota, request)
  }

  #count(what: 'throttled' | 'refused' | 'denied', reply: ApiReply): ApiReply {
    this.counts[what] += 1
    return reply
  }

  /** What is refused costs nothing. */
  #take(keys: number): boolean {
    const nowMs = performance.now()
    for (const bucket of this.#buckets) bucket.refill(nowMs)
    const costOf = ({ limit }: Bucket) => (limit.unit === 'keys' ? keys : 1)
    if (this.#buckets.some((bucket) => bucket.tokens < costOf(bucket))) return false
    for (const bucket of this.#buckets) bucket.tokens -= costOf(bucket)
    return true
  }

  #quota(keys: number): Quota {
    let [remaining, waitMs] = [Number.MAX_SAFE_INTEGER, 0]
    for (const { tokens, limit } of this.#buckets) {
      remaining = Math.min(remaining, tokens)
      const cost = limit.unit === 'keys' ? Math.min(keys, limit.burst) : 1
      waitMs = Math.max(waitMs, ((cost - tokens) * 1_000) / limit.perSecond)
    }
    return { remaining, waitMs, wallMs: Date.now() }
  }

  async #fail(fault: Fault, response: ServerResponse): Promise<ApiReply | null> {
    if (fault === 'throttle') return this.#count('throttled', this.#dialect.throttled(this.#quota(1)))
    if (fault === 'fail') return { status: 500, body: 'oops' }
    if (fault === 'stall') {
      await new Promise((resolve) => setTimeout(resolve, this.#options.stallMs ?? DEFAULT_STALL_MS).unref())
    }
    response.destroy()
    return null
  }
}

function toApi(request: IncomingMessage, body: string): ApiRequest {
  const headers = Object.entries(request.headers).map(([name, value]) => [name, String(value)])
  return {
    method: request.method ?? '',
    path: request.url ?? '/',
    headers: Object.fromEntries(headers) as Record<string, string>,
    body,
  }
}

async function readBody(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > MAX_BODY_BYTES) return null
      chunks.push(chunk)
    }
  } catch {
    return null
  }
  return Buffer.concat(chunks).toString()
}
