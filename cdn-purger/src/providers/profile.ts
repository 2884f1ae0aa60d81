import type { PurgeLimits, PurgeReply } from '../ports.ts'

/** The providers we know how to talk to. */
export type ProviderKind = 'varnish' | 'fastly' | 'cloudflare' | 'cloudfront' | 'akamai' | 'google' | 'bunny' | 'http'

/** Which keys a provider can be asked to purge. */
export interface KeyRules {
  readonly alphabet: RegExp
  readonly maxBytes: number
  /** It takes `A` and `a` for one key. */
  readonly foldsCase: boolean
}

/** Secrets by the names that `credentials` of the profile lists. */
export type Credentials = Readonly<Record<string, string>>

/** One configured endpoint of a provider. */
export interface Endpoint {
  readonly url: URL
  readonly credentials: Credentials
  /** Marks objects stale instead of removing them, where the provider can. */
  readonly isSoft: boolean
}

/** One purge request. */
export interface PurgeCall {
  readonly method: string
  /** With the query, if any. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | undefined
}

/** What came back. Header names are lower-case. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

/** Adds what proves who we are; may take a clock and randomness of its own. */
export type Signer = (call: PurgeCall, endpoint: Endpoint) => Promise<PurgeCall>

/**
 * All that distinguishes one provider from another. Queueing, pacing and retries are the same for all and know nothing of
 * it; the figures are defaults that configuration replaces, because vendors change them.
 */
export interface ProviderProfile {
  readonly kind: ProviderKind
  /** Names of the secrets it needs; all must be set, except those that end in `?`. */
  readonly credentials: readonly string[]
  readonly limits: PurgeLimits
  readonly keys: KeyRules
  /** It can mark objects stale instead of removing them. */
  readonly canSoft: boolean
  /** Pause after a 429 that names none, ms. */
  readonly throttledMs: number
  /** Longest pause after a failure, ms, where asking again costs nothing; absent: that of every provider. */
  readonly retryWithinMs?: number | undefined
  /** Headers that tell how much of the quota is left, and the Unix second at which it is whole again. */
  readonly quota?: { readonly remaining: string; readonly resetEpochSeconds?: string } | undefined
  readonly sign?: Signer | undefined
  purge(keys: readonly string[], endpoint: Endpoint): PurgeCall
  /** Null: only by the key that every tagged answer carries. */
  purgeAll(endpoint: Endpoint): PurgeCall | null
  /** What an answer means where its status alone would mislead; undefined leaves it to the status. */
  classify?(answer: Answer): PurgeReply | undefined
  /** Reads the count and the provider's own ids from a 2xx answer. */
  readPurged?(answer: Answer): Pick<Extract<PurgeReply, { kind: 'purged' }>, 'objects' | 'purgeId'>
}

/** Path of an endpoint without trailing slashes. */
export const basePath = (endpoint: Endpoint): string => endpoint.url.pathname.replace(/\/+$/, '')

/** Makes a POST with a JSON body. */
export function jsonCall(path: string, headers: Readonly<Record<string, string>>, body: unknown): PurgeCall {
  return {
    method: 'POST',
    path,
    headers: { accept: 'application/json', 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  }
}

/** Parses a JSON object; anything else is an empty one. */
export function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
