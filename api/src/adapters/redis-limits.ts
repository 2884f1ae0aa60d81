import { createHash } from 'node:crypto'
import { openRedis } from '@lockstep/cache'
import type { LimitPolicy, LimitStore } from '../limits/policy.ts'

/**
 * One key, Redis' own clock, so that replicas with different clocks count alike. A bucket is the time at which it is full
 * again (GCRA); a sliding window is two counters. Answers granted, remaining, ms until one more, ms until all is there.
 */
const TAKE = `
local t = redis.call('TIME')
local now = t[1] * 1000 + t[2] / 1000
local limit, windowMs, want = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if ARGV[1] == 'token-bucket' then
  local interval = windowMs / limit
  local full = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
  local free = math.max(0, math.floor(limit - (full - now) / interval + 1e-6))
  local granted = math.min(want, free)
  full = full + granted * interval
  if granted > 0 then redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', math.ceil(full - now) + 1) end
  local wait = 0
  if granted == 0 then wait = math.ceil(full - now - (limit - 1) * interval) end
  return {granted, free - granted, wait, math.ceil(full - now)}
end
local window = math.floor(now / windowMs)
local passed = now - window * windowMs
local kept = redis.call('HMGET', KEYS[1], 'w', 'c', 'p')
local current, previous = 0, 0
local was = tonumber(kept[1] or -1)
if was == window then current, previous = tonumber(kept[2]), tonumber(kept[3])
elseif was == window - 1 then previous = tonumber(kept[2]) end
local free = math.max(0, math.floor(limit - previous * (windowMs - passed) / windowMs - current + 1e-6))
local granted = math.min(want, free)
local wait = 0
if granted > 0 then
  redis.call('HSET', KEYS[1], 'w', string.format('%.0f', window), 'c', current + granted, 'p', previous)
  redis.call('PEXPIRE', KEYS[1], math.ceil(2 * windowMs - passed))
elseif current + 1 <= limit then
  wait = math.ceil(windowMs * (1 - (limit - current - 1) / previous) - passed)
else
  wait = math.ceil(windowMs - passed + windowMs * (1 - (limit - 1) / current))
end
return {granted, free - granted, wait, math.ceil(2 * windowMs - passed)}
`

// A limit that takes longer to ask for than the answer takes is no protection.
const COMMAND_TIMEOUT_MS = 100
const CONNECT_TIMEOUT_MS = 1_000

/** Counts in Redis, for all replicas. */
export interface RedisLimits extends LimitStore {
  close(): void
}

interface Scripts {
  lockstepTake(key: string, kind: string, limit: number, windowMs: number, want: number): Promise<number[]>
}

/** Opens a connection of its own, so that a queue of cache reads never delays a limit. Connects by itself, again and again. */
export function openRedisLimits(options: { readonly url: string; readonly namespace: string }): RedisLimits {
  const redis = openRedis(options.url, options.namespace, {
    enableOfflineQueue: false,
    // With 1 a command in flight when the connection closes is neither sent again nor rejected (5.11.1).
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    commandTimeout: COMMAND_TIMEOUT_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
  })
  // Every take reports its own failure.
  redis.on('error', () => undefined)
  redis.defineCommand('lockstepTake', { numberOfKeys: 1, lua: TAKE })
  const scripts = redis as unknown as Scripts
  // Hashed: of bounded length whatever a client calls itself, and no list of addresses for whoever reads Redis.
  const keyOf = ({ name }: LimitPolicy, client: string): string =>
    `{${options.namespace}}:limit:${name}:${createHash('sha256').update(client).digest('base64url').slice(0, 22)}`
  return {
    async take(policy, client, want) {
      const key = keyOf(policy, client)
      const answer = await scripts.lockstepTake(key, policy.kind, policy.limit, policy.windowSeconds * 1000, want)
      const [granted = 0, remaining = 0, waitMs = 0, resetMs = 0] = answer
      return { granted, remaining, waitMs, resetMs }
    },
    close: () => redis.disconnect(),
  }
}
