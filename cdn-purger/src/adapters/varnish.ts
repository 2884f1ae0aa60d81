import type { EdgeProvider, PurgeLimits, PurgeReply } from '../ports.ts'
import { PurgeHttp } from './purge-http.ts'

/** One Varnish node that runs our VCL. */
export interface VarnishOptions {
  readonly name: string
  /** `http://HOST:PORT`. */
  readonly url: string
  readonly token: string
  readonly connections: number
  readonly timeoutMs: number
  readonly wallMs: () => number
  readonly limits?: PurgeLimits | undefined
}

/** An untuned Varnish takes header lines up to 8 KiB; past 250 keys a request only gets slower (measured). */
export const VARNISH_LIMITS: PurgeLimits = { maxKeys: 200, maxBytes: 7_000 }

/** Creates the provider for a Varnish with xkey: method PURGEKEYS, and PURGEALL as a ban. */
export function createVarnishProvider(options: VarnishOptions): EdgeProvider {
  const { name, url, token, connections, timeoutMs, wallMs, limits = VARNISH_LIMITS } = options
  const origin = new URL(url).origin
  const http = new PurgeHttp({ origin, connections, timeoutMs, wallMs })
  const call = async (method: string, keys: string, signal: AbortSignal): Promise<PurgeReply> => {
    const headers = { 'x-purge-token': token, ...(keys === '' ? {} : { 'x-purge-keys': keys }) }
    return await http.call({ method, path: '/', headers }, objectsOf, signal)
  }
  return {
    name,
    limits,
    purge: async (keys, signal) => call('PURGEKEYS', keys.join(' '), signal),
    purgeAll: async (signal) => call('PURGEALL', '', signal),
    close: async () => http.close(),
  }
}

function objectsOf(body: string): number | null {
  const match = /"purged":\s*(\d+)/.exec(body)
  return match ? Number(match[1]) : null
}
