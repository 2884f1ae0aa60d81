import type { Cluster, Redis } from 'ioredis'
import { createLocalBudget } from '../local-budget.ts'
import type { Grant, RateBudget, RateLimit } from '../ports.ts'

/** Where the buckets of one provider live. */
export interface RedisBudgetOptions {
  readonly redis: Redis | Cluster
  readonly key: string
  readonly limits: readonly RateLimit[]
  readonly nowMs: () => number
  /** Called when Redis cannot be asked and the buckets of this process stand in. */
  readonly onAway: (error: Error) => void
}

/**
 * ARGV: wanted keys, then unit, rate per second and burst of each bucket. The hash holds the time at which each bucket
 * would be full again, µs by Redis' own clock, and `pause`. Answers keys, ms to wait, fill.
 */
const TAKE = `
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local state = redis.call('HGETALL', KEYS[1])
local at = {}
for i = 1, #state, 2 do at[state[i]] = tonumber(state[i + 1]) end
if (at.pause or 0) > now then return {0, tostring((at.pause - now) / 1000), '0'} end
local keys, wait, left = tonumber(ARGV[1]), 0, {}
for i = 2, #ARGV, 3 do
  local rate, burst = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  left[i] = burst - math.max(0, (at[tostring(i)] or 0) - now) * rate / 1000000
  wait = math.max(wait, (1 - left[i]) * 1000 / rate)
  if ARGV[i] == 'keys' then keys = math.min(keys, math.floor(left[i])) end
end
if wait > 0 then return {0, tostring(wait), '0'} end
local fill, life = 1, 1000
for i = 2, #ARGV, 3 do
  local rate, burst = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local cost = ARGV[i] == 'keys' and keys or 1
  local full = math.max(now, at[tostring(i)] or 0) + cost * 1000000 / rate
  redis.call('HSET', KEYS[1], tostring(i), string.format('%.0f', full))
  life = math.max(life, (full - now) / 1000)
  fill = math.min(fill, (left[i] - cost) / burst)
end
redis.call('PEXPIRE', KEYS[1], math.ceil(life) + 1000, 'GT')
redis.call('PEXPIRE', KEYS[1], math.ceil(life) + 1000, 'NX')
return {keys, '0', tostring(fill)}
`

const PAUSE = `
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local till = now + ARGV[1] * 1000
if till > tonumber(redis.call('HGET', KEYS[1], 'pause') or 0) then
  redis.call('HSET', KEYS[1], 'pause', string.format('%.0f', till))
  redis.call('PEXPIRE', KEYS[1], math.ceil(tonumber(ARGV[1])) + 1000, 'GT')
  redis.call('PEXPIRE', KEYS[1], math.ceil(tonumber(ARGV[1])) + 1000, 'NX')
end
`

/**
 * Makes a budget that all purger processes draw on. While Redis cannot be asked the process goes by buckets of its own:
 * purges must go on, and the provider's 429 still bounds them all.
 */
export function createRedisBudget(options: RedisBudgetOptions): RateBudget {
  const { redis, key, limits, nowMs, onAway } = options
  const own = createLocalBudget(limits, nowMs)
  const args = limits.flatMap(({ unit, perSecond, burst }) => [unit, String(perSecond), String(burst)])
  return {
    async take(wanted): Promise<Grant> {
      try {
        const reply = (await redis.eval(TAKE, 1, key, String(wanted), ...args)) as [number, string, string]
        const [keys, waitMs, fill] = reply
        return { keys, waitMs: Number(waitMs), fill: Number(fill) }
      } catch (error) {
        onAway(error as Error)
        return await own.take(wanted)
      }
    },
    async pause(ms): Promise<void> {
      await own.pause(ms)
      await redis.eval(PAUSE, 1, key, String(ms)).catch(onAway)
    },
    close: async () => Promise.resolve(redis.disconnect()),
  }
}
