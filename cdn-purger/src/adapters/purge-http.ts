import { withTimeout } from '@lockstep/runtime'
import { Pool, type Dispatcher } from 'undici'
import type { PurgeReply } from '../ports.ts'

/** How to reach a purge endpoint. */
export interface PurgeHttpOptions {
  /** Scheme, host and port; a path is for the caller. */
  readonly origin: string
  /** Connections kept open; one per request in flight. */
  readonly connections: number
  /** Longest wait for a connection, for the header and for the whole body, ms. */
  readonly timeoutMs: number
  /** Wall clock, ms, for a Retry-After that names a date. */
  readonly wallMs: () => number
}

/** One purge request. */
export interface PurgeCall {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | undefined
}

interface Exchange {
  readonly status: number
  readonly retryAfter: string | string[] | undefined
  readonly text: string
}

// The largest honest answer is Fastly's map of 256 keys to ids, about 30 kB.
const MAX_REPLY_BYTES = 262_144
const DENIED = new Set([401, 403, 404, 405])
const REFUSED = new Set([400, 413, 414, 422, 431])

/** Sends purge requests over kept-alive connections and classifies the answers; follows no redirect. */
export class PurgeHttp {
  readonly #pool: Pool
  readonly #options: PurgeHttpOptions

  constructor(options: PurgeHttpOptions) {
    const { timeoutMs, connections, origin } = options
    this.#options = options
    this.#pool = new Pool(origin, {
      connections,
      pipelining: 1,
      connect: { timeout: timeoutMs },
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      keepAliveTimeout: 30_000,
    })
  }

  /** Resolves to what the answer means; `objectsOf` reads the count from a 2xx body. Rejects only when aborted. */
  async call(call: PurgeCall, objectsOf: (body: string) => number | null, signal: AbortSignal): Promise<PurgeReply> {
    const ms = this.#options.timeoutMs
    const exchange = async (limit: AbortSignal): Promise<PurgeReply> => {
      const { status, text, retryAfter } = await this.#exchange(call, limit)
      return this.#classify(status, { text, retryAfter, objectsOf })
    }
    try {
      return await withTimeout(exchange, { ms, signal, onTimeout: () => new Error(`no answer within ${ms} ms`) })
    } catch (error) {
      signal.throwIfAborted()
      return { kind: 'unavailable', detail: error instanceof Error ? `${error.name}: ${error.message}` : 'unknown' }
    }
  }

  /** One request without the stream that undici's `request` builds for every body: hundreds are sent each second. */
  #exchange({ method, path, headers, body }: PurgeCall, limit: AbortSignal): Promise<Exchange> {
    return new Promise((resolve, reject) => {
      let exchange: Omit<Exchange, 'text'> = { status: 0, retryAfter: undefined }
      const chunks: Buffer[] = []
      let bytes = 0
      let controller: Dispatcher.DispatchController | undefined
      const abort = (): void => controller?.abort(limit.reason as Error)
      limit.addEventListener('abort', abort, { once: true })
      // `Dispatcher.HttpMethod` lists the common ones; any token is a method.
      this.#pool.dispatch(
        { method: method as 'POST', path, headers, ...(body === undefined ? {} : { body }) },
        {
          onRequestStart(started) {
            controller = started
            if (limit.aborted) abort()
          },
          onResponseStart(_controller, status, { 'retry-after': retryAfter }) {
            exchange = { status, retryAfter }
          },
          onResponseData(started, chunk) {
            bytes += chunk.length
            if (bytes > MAX_REPLY_BYTES)
              started.abort(new RangeError(`the answer is larger than ${MAX_REPLY_BYTES} bytes`))
            else chunks.push(chunk)
          },
          onResponseEnd: () => resolve({ ...exchange, text: Buffer.concat(chunks).toString() }),
          onResponseError: (_controller, error) => reject(error),
        },
      )
    })
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }

  #classify(
    status: number,
    answer: { text: string; retryAfter: string | string[] | undefined; objectsOf: (body: string) => number | null },
  ): PurgeReply {
    const detail = `status ${status}`
    if (status >= 200 && status < 300) return { kind: 'purged', objects: answer.objectsOf(answer.text) }
    if (status === 429)
      return { kind: 'throttled', retryAfterMs: retryAfterMs(answer.retryAfter, this.#options.wallMs()) }
    if (REFUSED.has(status)) return { kind: 'refused', detail }
    if (DENIED.has(status) || (status >= 300 && status < 400)) return { kind: 'denied', detail }
    return { kind: 'unavailable', detail }
  }
}

/** Reads Retry-After, seconds or a date, as ms from now; null when absent or unreadable. */
export function retryAfterMs(field: string | string[] | undefined, wallMs: number): number | null {
  const text = Array.isArray(field) ? field[0] : field
  if (text === undefined) return null
  if (/^\d+$/.test(text)) return Number(text) * 1000
  const date = Date.parse(text)
  return Number.isNaN(date) ? null : Math.max(0, date - wallMs)
}
