/** How many requests one client may send. Shared by all replicas. */
export interface LimitPolicy {
  /** Named in the headers and in the keys. */
  readonly name: LimitName
  /**
   * `token-bucket`: bursts up to `limit` at once, refilled evenly over the window. `sliding-window`: about `limit` in any window
   * (two counters, the older one weighed by what the window still holds of it), so that nobody gets two windows' worth at an edge.
   */
  readonly kind: 'token-bucket' | 'sliding-window'
  readonly limit: number
  readonly windowSeconds: number
  /**
   * What happens while Redis cannot be asked. `admit`: each replica applies the policy by itself, so a client gets up to
   * replicas × limit, which availability is worth. `refuse`: 503, because guessing passwords must not become free.
   */
  readonly withoutRedis: 'admit' | 'refuse'
}

/** The limits of the API, by what a route does. */
export type LimitName = 'read' | 'write' | 'login' | 'admin'

/** What a store granted. Durations in ms. */
export interface Grant {
  /** Requests that may go ahead: 0 to what was asked for. */
  readonly granted: number
  /** What is left now. */
  readonly remaining: number
  /** Until one more would be granted; 0 where some were. */
  readonly waitMs: number
  /** Until all of the limit is there again. */
  readonly resetMs: number
}

/**
 * Counts what clients have taken, for all replicas or for one. Never grants more than the policy, however many ask at once.
 * A rejection says nothing about what was counted.
 */
export interface LimitStore {
  take(policy: LimitPolicy, client: string, want: number): Promise<Grant>
}

/** The value of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers). */
export function policyHeader({ name, limit, windowSeconds }: LimitPolicy): string {
  return `"${name}";q=${limit};w=${windowSeconds}`
}

/** Names who is limited: an IPv4 address, or the /64 of an IPv6 address, which is what one customer gets. */
export function clientOf(ip: string): string {
  if (!ip.includes(':')) return ip
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)
  if (mapped?.[1] !== undefined) return mapped[1]
  const [head = '', tail] = (ip.split('%')[0] ?? '').toLowerCase().split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length
  const groups = [...before, ...Array.from({ length: Math.max(0, zeros) }, () => '0'), ...after]
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
}
