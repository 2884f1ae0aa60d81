import type { IncomingHttpHeaders } from 'node:http'

/** How long a response may be used without and with the origin's consent. Milliseconds. */
export interface Freshness {
  readonly storable: boolean
  readonly lifetimeMs: number
  readonly staleWhileRevalidateMs: number
  readonly staleIfErrorMs: number
  /** Age the response already had on arrival. */
  readonly ageMs: number
}

const REFUSED: Freshness = { storable: false, lifetimeMs: 0, staleWhileRevalidateMs: 0, staleIfErrorMs: 0, ageMs: 0 }
// RFC 9110 §15.1, without 206, which this cache does not combine.
const STORABLE_STATUS = new Set([200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501])
const DIRECTIVE = /^\s*([\w!#$%&'*+.^`|~-]+)\s*(?:=\s*(?:"([^"]*)"|([^\s,;"]+)))?\s*$/

/** Parses a Cache-Control list; names fold case, the first of two equal names counts (RFC 9111 §4.2.1). */
export function parseDirectives(field: string): ReadonlyMap<string, string> | null {
  const directives = new Map<string, string>()
  for (const part of field.split(',')) {
    if (part.trim() === '') continue
    const match = DIRECTIVE.exec(part)
    if (!match) return null
    const name = match[1]?.toLowerCase() ?? ''
    if (!directives.has(name)) directives.set(name, match[2] ?? match[3] ?? '')
  }
  return directives
}

function secondsOf(text: string | undefined): number | null {
  return text !== undefined && /^\d+$/.test(text) ? Math.min(Number(text), 2 ** 31) : null
}

function expiresLifetime(headers: IncomingHttpHeaders, nowMs: number): number | null {
  if (headers.expires === undefined) return null
  const expires = Date.parse(headers.expires)
  const date = Date.parse(headers.date ?? '')
  return Number.isNaN(expires) ? 0 : (expires - (Number.isNaN(date) ? nowMs : date)) / 1000
}

/** `CDN-Cache-Control` replaces `Cache-Control` for a CDN (RFC 9213); one that does not parse is as if absent. */
function chooseDirectives(headers: IncomingHttpHeaders): { targeted: boolean; list: ReadonlyMap<string, string> } {
  const field = headers['cdn-cache-control']
  const targeted = field === undefined ? null : parseDirectives(String(field))
  if (targeted && targeted.size > 0) return { targeted: true, list: targeted }
  // A Cache-Control that cannot be read might have said no-store.
  const list = parseDirectives(headers['cache-control'] ?? '') ?? new Map([['no-store', '']])
  return { targeted: false, list }
}

function mayStore(status: number, headers: IncomingHttpHeaders, list: ReadonlyMap<string, string>): boolean {
  if (!STORABLE_STATUS.has(status) || headers['set-cookie'] || headers.vary?.includes('*')) return false
  return !['no-store', 'private', 'no-cache'].some((name) => list.has(name))
}

/** Judges whether a shared cache may store a response, and for how long (RFC 9111 §3, §4.2). No heuristics. */
export function freshnessOf(status: number, headers: IncomingHttpHeaders, nowMs: number): Freshness {
  const { targeted, list } = chooseDirectives(headers)
  const general = targeted ? null : secondsOf(list.get('s-maxage'))
  const seconds = general ?? secondsOf(list.get('max-age')) ?? (targeted ? null : expiresLifetime(headers, nowMs))
  if (!mayStore(status, headers, list) || seconds === null) return REFUSED
  const mustRevalidate = ['must-revalidate', 'proxy-revalidate', 's-maxage'].some((name) => list.has(name))
  const graceMs = (name: string) => (mustRevalidate ? 0 : (secondsOf(list.get(name)) ?? 0) * 1000)
  return {
    storable: true,
    lifetimeMs: Math.max(0, seconds * 1000),
    staleWhileRevalidateMs: graceMs('stale-while-revalidate'),
    staleIfErrorMs: graceMs('stale-if-error'),
    ageMs: (secondsOf(headers.age) ?? 0) * 1000,
  }
}
