import { Agent, request } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from 'node:http'

/** A response of the origin, read to the end. */
export interface OriginResponse {
  readonly kind: 'complete'
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Flat name, value list without hop-by-hop fields. */
  readonly rawHeaders: string[]
  readonly body: Buffer
}

/** A response too large to keep: what was read of it, and the rest still to come. */
export interface OriginStream {
  readonly kind: 'stream'
  readonly status: number
  readonly rawHeaders: string[]
  readonly read: readonly Buffer[]
  readonly rest: IncomingMessage
}

/** What to ask the origin for. */
export interface OriginRequest {
  readonly method: string
  readonly url: string
  readonly headers: OutgoingHttpHeaders
  readonly body?: IncomingMessage | undefined
}

const HOP_BY_HOP = new Set(
  'connection keep-alive proxy-connection te trailer transfer-encoding upgrade proxy-authenticate proxy-authorization'.split(
    ' ',
  ),
)

/** Copies fields that belong to the message, not to the connection (RFC 9110 §7.6.1). */
export function endToEnd(rawHeaders: readonly string[], connection = ''): string[] {
  const named = connection === '' ? [] : connection.toLowerCase().split(/\s*,\s*/)
  const kept: string[] = []
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? ''
    const lower = name.toLowerCase()
    if (!HOP_BY_HOP.has(lower) && !named.includes(lower)) kept.push(name, rawHeaders[index + 1] ?? '')
  }
  return kept
}

/** Talks to one origin over kept-alive connections. */
export class Origin {
  readonly #base: URL
  readonly #timeoutMs: number
  readonly #maxObjectBytes: number
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 256 })

  constructor(base: string, options: { timeoutMs: number; maxObjectBytes: number }) {
    this.#base = new URL(base)
    this.#timeoutMs = options.timeoutMs
    this.#maxObjectBytes = options.maxObjectBytes
  }

  /** Sends a request. Rejects on a network error, a broken body or after the timeout without a byte. */
  async open(options: OriginRequest): Promise<IncomingMessage> {
    return await new Promise((resolve, reject) => {
      const { hostname, port } = this.#base
      const { method, url: path, headers } = options
      const upstream = request({
        agent: this.#agent,
        hostname,
        port: port || 80,
        method,
        path,
        headers,
        timeout: this.#timeoutMs,
      })
      upstream.on('response', resolve)
      upstream.on('error', reject)
      upstream.on('timeout', () => upstream.destroy(new Error('the origin did not answer in time')))
      if (options.body) options.body.pipe(upstream)
      else upstream.end()
    })
  }

  /** Sends a request and reads the answer up to the size limit. */
  async fetch(options: OriginRequest): Promise<OriginResponse | OriginStream> {
    const message = await this.open(options)
    const rawHeaders = endToEnd(message.rawHeaders, message.headers.connection)
    const status = message.statusCode ?? 502
    const chunks: Buffer[] = []
    let bytes = 0
    const iterator = message.iterator({ destroyOnReturn: false })
    for await (const chunk of iterator as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes > this.#maxObjectBytes) return { kind: 'stream', status, rawHeaders, read: chunks, rest: message }
    }
    const body = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)
    return { kind: 'complete', status, headers: message.headers, rawHeaders, body }
  }

  close(): void {
    this.#agent.destroy()
  }
}
