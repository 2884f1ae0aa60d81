import type { TimeSource } from '@lockstep/runtime'
import type { Grant, LimitPolicy, LimitStore } from './policy.ts'

// Who came longest ago is forgotten first; a forgotten client begins with a full limit.
const MAX_CLIENTS = 10_000

/** What is kept of a client: when its bucket is full again, or the counters of two windows. */
interface Kept {
  readonly fullAt: number
  readonly window: number
  readonly current: number
  readonly previous: number
}

const NOTHING: Kept = { fullAt: 0, window: 0, current: 0, previous: 0 }

/** Takes from a bucket that holds `limit` and gains one each `window / limit`; the same rule as the script's. */
function takeFromBucket(policy: LimitPolicy, kept: Kept, want: number, now: number): [Grant, Kept] {
  const intervalMs = (policy.windowSeconds * 1000) / policy.limit
  const fullAt = Math.max(kept.fullAt, now)
  const free = Math.max(0, Math.floor(policy.limit - (fullAt - now) / intervalMs + 1e-6))
  const granted = Math.min(want, free)
  const next = fullAt + granted * intervalMs
  const waitMs = granted > 0 ? 0 : Math.ceil(next - now - (policy.limit - 1) * intervalMs)
  return [
    { granted, remaining: free - granted, waitMs, resetMs: Math.ceil(next - now) },
    { ...NOTHING, fullAt: next },
  ]
}

/** Takes from a window that slides: the older counter weighs as much as the window still holds of it. */
function takeFromWindow(policy: LimitPolicy, kept: Kept, want: number, now: number): [Grant, Kept] {
  const { limit } = policy
  const windowMs = policy.windowSeconds * 1000
  const window = Math.floor(now / windowMs)
  const passed = now - window * windowMs
  const current = kept.window === window ? kept.current : 0
  const previous = kept.window === window ? kept.previous : kept.window === window - 1 ? kept.current : 0
  const free = Math.max(0, Math.floor(limit - (previous * (windowMs - passed)) / windowMs - current + 1e-6))
  const granted = Math.min(want, free)
  const waitMs = granted > 0 ? 0 : Math.ceil(untilFree({ limit, windowMs, passed, current, previous }))
  const resetMs = Math.ceil(2 * windowMs - passed)
  return [
    { granted, remaining: free - granted, waitMs, resetMs },
    { ...NOTHING, window, current: current + granted, previous },
  ]
}

function untilFree(at: Record<'limit' | 'windowMs' | 'passed' | 'current' | 'previous', number>): number {
  const { limit, windowMs, passed, current, previous } = at
  if (current + 1 <= limit) return windowMs * (1 - (limit - current - 1) / previous) - passed
  return windowMs - passed + windowMs * (1 - (limit - 1) / current)
}

/** Counts in this process only: what a replica goes by while Redis is away, and what tests use. */
export function createMemoryLimits(time: Pick<TimeSource, 'nowMs'>): LimitStore {
  const clients = new Map<string, Kept>()
  return {
    take(policy, client, want) {
      const key = `${policy.name} ${client}`
      const rule = policy.kind === 'token-bucket' ? takeFromBucket : takeFromWindow
      const [grant, kept] = rule(policy, clients.get(key) ?? NOTHING, want, time.nowMs())
      clients.delete(key)
      clients.set(key, kept)
      if (clients.size > MAX_CLIENTS) clients.delete(clients.keys().next().value ?? '')
      return Promise.resolve(grant)
    },
  }
}
