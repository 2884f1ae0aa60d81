import { withTimeout } from '@lockstep/runtime'
import { Pool, type Dispatcher } from 'undici'
import type { Answer, PurgeCall } from '../providers/profile.ts'

/** How to reach a purge endpoint. */
export interface PurgeHttpOptions {
  /** Scheme, host and port; a path is for the caller. */
  readonly origin: string
  /** Connections kept open; one per request in flight. */
  readonly connections: number
  /** Longest wait for a connection, for the header and for the whole body, ms. */
  readonly timeoutMs: number
}

// The largest honest answer is Fastly's map of 256 keys to ids, about 30 kB.
const MAX_REPLY_BYTES = 262_144

/** Sends requests over kept-alive connections within a time and a size; follows no redirect. */
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

  /** Rejects when there is no whole answer in time, and when `signal` aborts. */
  async call(call: PurgeCall, signal: AbortSignal): Promise<Answer> {
    const ms = this.#options.timeoutMs
    const onTimeout = () => new Error(`no answer within ${ms} ms`)
    return await withTimeout(async (limit) => this.#exchange(call, limit), { ms, signal, onTimeout })
  }

  /** One request without the stream that undici's `request` builds for every body: hundreds are sent each second. */
  #exchange({ method, path, headers, body }: PurgeCall, limit: AbortSignal): Promise<Answer> {
    return new Promise((resolve, reject) => {
      let head: Omit<Answer, 'text'> = { status: 0, headers: {} }
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
          onResponseStart(_controller, status, headers) {
            head = { status, headers }
          },
          onResponseData(started, chunk) {
            bytes += chunk.length
            if (bytes > MAX_REPLY_BYTES)
              started.abort(new RangeError(`the answer is larger than ${MAX_REPLY_BYTES} bytes`))
            else chunks.push(chunk)
          },
          onResponseEnd: () => resolve({ ...head, text: Buffer.concat(chunks).toString() }),
          onResponseError: (_controller, error) => reject(error),
        },
      )
    })
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }
}
