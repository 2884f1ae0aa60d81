import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What the origin answers for one path. */
export interface Page {
  readonly body: string
  readonly tags?: readonly string[] | undefined
  /** Default: no validator. A conditional request that matches gets a 304 **without** tags, fresh for a minute. */
  readonly etag?: string | undefined
  /** `CDN-Cache-Control`. Default `max-age=60`. */
  readonly freshness?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly status?: number | undefined
}

/** An origin whose answers a test decides, and can hold back. */
export interface TestOrigin {
  readonly url: string
  readonly port: number
  /** Requests received, as `METHOD path`. */
  readonly requests: readonly string[]
  set(path: string, page: Page): void
  /** Answers to this path, decided on arrival, are sent only after `release`. */
  hold(path: string): { release(): void }
  stop(): Promise<void>
}

function send(request: IncomingMessage, response: ServerResponse, page: Page): void {
  const { body, tags = [], etag, freshness = 'max-age=60', headers = {}, status = 200 } = page
  const isCurrent = etag !== undefined && request.headers['if-none-match'] === etag
  if (isCurrent) {
    response.writeHead(304, { etag, 'cdn-cache-control': 'max-age=60', ...headers })
    response.end()
    return
  }
  const given = {
    ...(etag === undefined ? {} : { etag }),
    ...(tags.length > 0 ? { 'surrogate-key': tags.join(' ') } : {}),
  }
  const always = {
    'cdn-cache-control': freshness,
    'content-type': 'text/plain',
    'content-length': Buffer.byteLength(body),
  }
  response.writeHead(status, { ...always, ...given, ...headers })
  response.end(request.method === 'HEAD' ? undefined : body)
}

/** Starts an origin on a free port. */
export async function startTestOrigin(): Promise<TestOrigin> {
  const pages = new Map<string, Page>()
  const held = new Map<string, Promise<void>>()
  const requests: string[] = []
  const server = createServer((request, response) => {
    const path = request.url ?? '/'
    requests.push(`${request.method ?? ''} ${path}`)
    const page = pages.get(path) ?? { body: 'none', status: 404, freshness: 'no-store' }
    const gate = held.get(path)
    request.resume()
    if (gate) void gate.then(() => send(request, response, page))
    else send(request, response, page)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    requests,
    set: (path, page) => void pages.set(path, page),
    hold: (path) => {
      const { promise, resolve } = Promise.withResolvers<void>()
      held.set(path, promise)
      return {
        release: () => {
          held.delete(path)
          resolve()
        },
      }
    },
    stop: async () => {
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
    },
  }
}

/** One read through an edge. */
export interface EdgeRead {
  readonly label: string
  readonly status: number
  readonly body: string
}

/** Reads a path as a client would. */
export async function readEdge(baseUrl: string, path: string, init: RequestInit = {}): Promise<EdgeRead> {
  const response = await fetch(baseUrl + path, init)
  const body = await response.text()
  return { label: response.headers.get('x-cache') ?? '', status: response.status, body }
}
