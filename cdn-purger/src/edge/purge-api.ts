import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { EdgeCache } from './edge-cache.ts'

/** Who may purge, and under which service id. */
export interface PurgeApiOptions {
  readonly serviceId: string
  /** Value that `Fastly-Key` must have; never empty. */
  readonly token: string
}

// Fastly's own limits: 256 keys per request, all or nothing.
const MAX_KEYS = 256
const MAX_KEY_BYTES = 1_024
const MAX_BODY_BYTES = 1_048_576
const PATH = /^\/service\/([^/?]+)\/(purge_all|purge)(?:\/([^/?]+))?$/

interface Reply {
  readonly status: number
  readonly body: unknown
}

const digest = (text: string) => createHash('sha256').update(text).digest()
const fail = (status: number, msg: string, detail?: string): Reply => ({
  status,
  body: { msg, detail, status: 'fail' },
})

async function readBody(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

function keysOf(request: IncomingMessage, body: string): string[] | null {
  const field = request.headers['surrogate-key']
  if (field !== undefined) return String(field).split(/\s+/).filter(Boolean)
  try {
    const parsed: unknown = JSON.parse(body)
    const keys = (parsed as { surrogate_keys?: unknown } | null)?.surrogate_keys
    if (!Array.isArray(keys)) return null
    return keys.every((key): key is string => typeof key === 'string' && key !== '') ? keys : null
  } catch {
    return null
  }
}

function purgeBatch(cache: EdgeCache, request: IncomingMessage, body: string): Reply {
  const keys = keysOf(request, body)
  if (!keys || keys.length === 0) return fail(400, 'Bad request', 'no surrogate keys')
  if (keys.length > MAX_KEYS) return fail(400, 'Bad request', `more than ${MAX_KEYS} surrogate keys, none purged`)
  const bad = keys.find((key) => Buffer.byteLength(key) > MAX_KEY_BYTES || !/^[\x21-\x7e]+$/.test(key))
  if (bad !== undefined) return fail(400, 'Bad request', 'a surrogate key is not valid, none purged')
  cache.purge(keys, request.headers['fastly-soft-purge'] === '1')
  return { status: 200, body: Object.fromEntries(keys.map((key) => [key, purgeId(key)])) }
}

let purges = 0
const purgeId = (key: string) => `${digest(key).toString('hex').slice(0, 8)}-${(purges += 1)}`

/** Answers Fastly's purge calls: `purge/KEY`, `purge` with up to 256 keys, `purge_all`; and `GET /stats`. */
export async function handlePurge(
  cache: EdgeCache,
  options: PurgeApiOptions,
  exchange: { request: IncomingMessage; response: ServerResponse },
): Promise<void> {
  const { request, response } = exchange
  const { status, body } = await reply(cache, options, request)
  const text = JSON.stringify(body)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
  response.end(text)
}

async function reply(cache: EdgeCache, options: PurgeApiOptions, request: IncomingMessage): Promise<Reply> {
  if (request.method === 'GET' && request.url === '/stats') return { status: 200, body: cache.status() }
  const path = PATH.exec(request.url ?? '')
  if (!path || request.method !== 'POST') return fail(404, 'Not found')
  // Read even what is refused, so that the connection can be used again.
  const text = await readBody(request)
  const given = String(request.headers['fastly-key'] ?? '')
  const isKnown = options.token !== '' && timingSafeEqual(digest(given), digest(options.token))
  if (!isKnown) return fail(401, 'Provided credentials are missing or invalid')
  if (path[1] !== options.serviceId) return fail(404, 'Record not found', "couldn't find the service")
  if (text === null) return fail(413, 'Payload too large')
  if (path[2] === 'purge_all') {
    cache.purgeAll()
    return { status: 200, body: { status: 'ok' } }
  }
  if (path[3] === undefined) return purgeBatch(cache, request, text)
  let key: string
  try {
    key = decodeURIComponent(path[3])
  } catch {
    return fail(400, 'Bad request', 'the key is not percent-encoded')
  }
  cache.purge([key], request.headers['fastly-soft-purge'] === '1')
  return { status: 200, body: { status: 'ok', id: purgeId(key) } }
}
