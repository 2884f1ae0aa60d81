import { encodeSurrogateKey, EVERYTHING } from '@lockstep/schemas'
import type { EdgeProvider, PurgeLimits, PurgeReply } from '../ports.ts'
import type { Answer, Endpoint, ProviderProfile, PurgeCall } from '../providers/profile.ts'
import { PurgeHttp } from './purge-http.ts'

/** One endpoint of one provider. */
export interface HttpProviderOptions {
  /** Unique among the tiers; a metric label. */
  readonly name: string
  readonly profile: ProviderProfile
  readonly endpoint: Endpoint
  /** Replaces those of the profile. */
  readonly limits?: PurgeLimits | undefined
  readonly timeoutMs: number
  readonly wallMs: () => number
}

const DENIED = new Set([401, 403, 404, 405])
const REFUSED = new Set([400, 413, 414, 422, 431])

/** Makes an edge provider of a profile: the profile says what to send and what answers mean, this sends it. */
export function createHttpProvider(options: HttpProviderOptions): EdgeProvider {
  const { name, profile, endpoint, timeoutMs, wallMs, limits = profile.limits } = options
  const http = new PurgeHttp({ origin: endpoint.url.origin, connections: limits.concurrency, timeoutMs })
  const send = async (call: PurgeCall, signal: AbortSignal): Promise<PurgeReply> => {
    try {
      const signed = profile.sign ? await profile.sign(call, endpoint) : call
      return classify(profile, await http.call(signed, signal), wallMs())
    } catch (error) {
      signal.throwIfAborted()
      return unavailable(profile, error instanceof Error ? `${error.name}: ${error.message}` : 'unknown')
    }
  }
  const purge: EdgeProvider['purge'] = async (keys, signal) => {
    signal.throwIfAborted()
    const bad = keys.find((key) => !profile.keys.alphabet.test(key) || Buffer.byteLength(key) > profile.keys.maxBytes)
    if (bad !== undefined) return { kind: 'refused', detail: 'a key is outside the alphabet or too long' }
    return await send(profile.purge(keys, endpoint), signal)
  }
  // All that was stored with tags carries the key of `*`.
  const purgeTagged = async (signal: AbortSignal) => purge([encodeSurrogateKey(EVERYTHING)], signal)
  return {
    name,
    limits,
    purge,
    purgeAll: async (signal) => {
      const call = profile.purgeAll(endpoint)
      if (!call) return await purgeTagged(signal)
      const reply = await send(call, signal)
      // A token of a small scope may not, and every purge behind this one would wait for ever.
      return reply.kind === 'denied' ? await purgeTagged(signal) : reply
    },
    close: async () => http.close(),
  }
}

const unavailable = ({ retryWithinMs }: ProviderProfile, detail: string): PurgeReply => {
  return { kind: 'unavailable', detail, ...(retryWithinMs === undefined ? {} : { retryWithinMs }) }
}

function classify(profile: ProviderProfile, answer: Answer, wallMs: number): PurgeReply {
  const own = profile.classify?.(answer)
  if (own) return own
  const { status } = answer
  const detail = `status ${status}`
  if (status >= 200 && status < 300) {
    const restMs = quotaRestMs(profile, answer, wallMs)
    const read = profile.readPurged?.(answer) ?? { objects: null }
    return { kind: 'purged', ...read, ...(restMs === null ? {} : { restMs }) }
  }
  if (status === 429) {
    const retryMs = retryAfterMs(answer.headers['retry-after'], wallMs) ?? quotaRestMs(profile, answer, wallMs)
    return { kind: 'throttled', retryAfterMs: retryMs ?? profile.throttledMs }
  }
  if (REFUSED.has(status)) return { kind: 'refused', detail }
  if (DENIED.has(status) || (status >= 300 && status < 400)) return { kind: 'denied', detail }
  return unavailable(profile, detail)
}

/** How long to rest when the provider says that its quota is used up; null when it does not say so. */
function quotaRestMs({ quota, throttledMs }: ProviderProfile, { headers }: Answer, wallMs: number): number | null {
  if (!quota || headers[quota.remaining] !== '0') return null
  const reset = quota.resetEpochSeconds === undefined ? undefined : headers[quota.resetEpochSeconds]
  return reset === undefined ? throttledMs : Math.max(0, Number(reset) * 1_000 - wallMs) || throttledMs
}

/** Reads Retry-After, seconds or a date, as ms from now; null when absent or unreadable. */
export function retryAfterMs(field: string | string[] | undefined, wallMs: number): number | null {
  const text = Array.isArray(field) ? field[0] : field
  if (text === undefined) return null
  if (/^\d+$/.test(text)) return Number(text) * 1000
  const date = Date.parse(text)
  return Number.isNaN(date) ? null : Math.max(0, date - wallMs)
}
