import { encodeSurrogateKey, EVERYTHING } from '@lockstep/schemas'
import type { EdgeProvider, PurgeLimits } from '../ports.ts'
import { PurgeHttp } from './purge-http.ts'

/** One Fastly service, or anything that answers its purge API. */
export interface FastlyOptions {
  readonly name: string
  /** `https://api.fastly.com/service/SERVICE_ID`. */
  readonly url: string
  /** Sent as `Fastly-Key`; its scope should be purge_select; with purge_all an epoch flushes untagged answers too. */
  readonly token: string
  /** Marks objects stale instead of removing them: each may answer once more from before the change. */
  readonly soft?: boolean | undefined
  readonly connections: number
  readonly timeoutMs: number
  readonly wallMs: () => number
  readonly limits?: PurgeLimits | undefined
}

/** Fastly's limit of keys; more are refused and none is purged. The bytes bound the JSON body. */
export const FASTLY_LIMITS: PurgeLimits = { maxKeys: 256, maxBytes: 65_536 }

/** Creates the provider for Fastly's batch purge by surrogate key. */
export function createFastlyProvider(options: FastlyOptions): EdgeProvider {
  const { name, url, token, soft = false, connections, timeoutMs, wallMs, limits = FASTLY_LIMITS } = options
  const { origin, pathname } = new URL(url)
  const base = pathname.replace(/\/+$/, '')
  const http = new PurgeHttp({ origin, connections, timeoutMs, wallMs })
  const auth = { 'fastly-key': token, accept: 'application/json' }
  const keyed = { ...auth, 'content-type': 'application/json', ...(soft ? { 'fastly-soft-purge': '1' } : {}) }
  // Fastly does not say how many objects a purge removed.
  const notSaid = () => null
  const purge: EdgeProvider['purge'] = async (keys, signal) => {
    const body = JSON.stringify({ surrogate_keys: keys })
    return await http.call({ method: 'POST', path: `${base}/purge`, headers: keyed, body }, notSaid, signal)
  }
  return {
    name,
    limits,
    purge,
    purgeAll: async (signal) => {
      const reply = await http.call({ method: 'POST', path: `${base}/purge_all`, headers: auth }, notSaid, signal)
      // A token of the scope purge_select may not, and every purge behind this one would wait for ever. All that was
      // stored with tags carries the key of `*`.
      return reply.kind === 'denied' ? await purge([encodeSurrogateKey(EVERYTHING)], signal) : reply
    },
    close: async () => http.close(),
  }
}
