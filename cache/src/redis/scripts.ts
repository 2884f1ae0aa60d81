import { createHash } from 'node:crypto'

/** A Lua script with the digest that Redis knows it by. */
export interface Script {
  readonly source: string
  readonly sha: string
}

function script(source: string): Script {
  const text = source.trim()
  return { source: text, sha: createHash('sha1').update(text).digest('hex') }
}

// Stamps compare as strings. Lua compares by the server's collation, and lower-case hex digits of equal length have the
// same order in every one of them.
//
// `allow-oom` lets a script write although `maxmemory` is reached: invalidation must not stop exactly when Redis is full.
// Scripts that fill the cache do not have it: when Redis is full they are refused, and nothing but a load is lost.

// Raises the fence of each tag, drops what it covers and answers the fences. KEYS from `first` on: fences, then leases, then
// values of `n` tags, none twice; W of the tags behind ARGV[at]. What is there is asked for at once, since each call from Lua
// costs more than what it does here, and of most tags that change nothing is in Redis.
const RAISE_FENCES = `
local function raise_fences(first, n, life, nonce, at)
  if n == 0 then return {} end
  local known, values = redis.call('MGET', unpack(KEYS, first, first + 2 * n - 1)), first + 2 * n
  local cached = redis.call('EXISTS', unpack(KEYS, values, values + n - 1)) > 0
  for i = 1, n do
    local key, value, w, old, lease = KEYS[first + i - 1], KEYS[values + i - 1], ARGV[at + i], known[i], known[n + i]
    if cached then
      local stored = redis.call('GETRANGE', value, 0, 27)
      if stored ~= '' and stored < w then redis.call('UNLINK', value) end
    end
    if lease and lease:sub(1, 28) < w then redis.call('DEL', KEYS[first + n + i - 1]) end
    if not old then
      known[i] = w .. ':' .. nonce .. '.' .. i
      redis.call('SET', key, known[i], 'PX', life)
    else
      if old:sub(1, 28) < w then
        known[i] = w .. old:sub(29)
        redis.call('SET', key, known[i], 'KEEPTTL')
      end
      redis.call('PEXPIRE', key, life, 'GT')
    end
  end
  return known
end`

/**
 * KEYS of the tags and W of each as RAISE_FENCES has them; ARGV shortMs, nonce, W of each, then of each claim: number of its tag,
 * holder, S, Redis' time in ms at which the lease ends (one that has ended is never held). Answers {1 or 0, fence} for each
 * claim: 1 where `S:holder` is the lease now, also by an earlier try. Several tags in one call only where one node holds all of their slots: sending
 * and looking up a script costs more than running it.
 */
export const INVALIDATE = script(`
#!lua flags=allow-oom
${RAISE_FENCES}
local n = #KEYS / 3
local fences = raise_fences(1, n, ARGV[1], ARGV[2], 2)
local replies = {}
for at = n + 3, #ARGV, 4 do
  local i, s = tonumber(ARGV[at]), ARGV[at + 2]
  local key, lease, isGranted = KEYS[n + i], s .. ':' .. ARGV[at + 1], false
  if fences[i]:sub(1, 28) <= s then
    isGranted = redis.call('SET', key, lease, 'NX', 'PXAT', ARGV[at + 3]) or redis.call('GET', key) == lease
  end
  replies[#replies + 1] = {isGranted and 1 or 0, fences[i]}
end
return replies
`)

/**
 * KEYS lease, fence, value of each key; ARGV holder, S, leaseMs of each. Answers {lease or '', fence or '',
 * value or false} for each. Whoever gets the lease finds the own fence there: where it was absent, one that knows of no
 * change in this epoch and has the holder for its incarnation. Several keys as in INVALIDATE.
 */
export const LEASE = script(`
#!lua
local replies = {}
for i = 1, #KEYS / 3 do
  local fenceKey, at = KEYS[3 * i - 1], 3 * i - 2
  local known = redis.call('MGET', fenceKey, KEYS[3 * i])
  local holder, stamp, fence = ARGV[at], ARGV[at + 1], known[1] or ''
  if fence ~= '' and fence:sub(1, 28) > stamp then stamp = fence:sub(1, 28) end
  local lease = stamp .. ':' .. holder
  if not redis.call('SET', KEYS[3 * i - 2], lease, 'NX', 'PX', ARGV[at + 2]) then
    lease = ''
  elseif fence == '' then
    fence = stamp:sub(1, 8) .. '00000000000000000000:' .. holder
    redis.call('SET', fenceKey, fence, 'PX', 2 * ARGV[at + 2])
  end
  replies[i] = {lease, fence, known[2]}
end
return replies
`)

/** KEYS fence; ARGV S, longMs, nonce. Answers {1, incarnation}, or {0, stamp} where the fence is newer. */
export const TOUCH = script(`
#!lua
local fence = redis.call('GET', KEYS[1])
if not fence then
  redis.call('SET', KEYS[1], ARGV[1] .. ':' .. ARGV[3], 'PX', ARGV[2])
  return {1, ARGV[3]}
end
if fence:sub(1, 28) > ARGV[1] then return {0, fence:sub(1, 28)} end
local life = redis.call('PTTL', KEYS[1])
if life >= 0 and life < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return {1, fence:sub(30)}
`)

/**
 * KEYS value, lease, fence of each key; ARGV lease, value, ttlMs, least life of the fence of each. Answers 1 for each that was
 * stored. Several keys as in INVALIDATE.
 */
export const STORE = script(`
#!lua
local stored = {}
for i = 1, #KEYS / 3 do
  local lease, at = KEYS[3 * i - 1], 4 * i - 3
  stored[i] = 0
  if redis.call('GET', lease) == ARGV[at] then
    redis.call('SET', KEYS[3 * i - 2], ARGV[at + 1], 'PX', ARGV[at + 2])
    redis.call('PEXPIRE', KEYS[3 * i], ARGV[at + 3], 'GT')
    redis.call('DEL', lease)
    stored[i] = 1
  end
end
return stored
`)

/** KEYS lease of each key; ARGV lease of each. Several keys as in INVALIDATE. */
export const RELEASE = script(`
#!lua flags=allow-oom
for i, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[i] then redis.call('DEL', key) end
end
`)

/**
 * KEYS w, bus, then those of the plain tags, as RAISE_FENCES has them; ARGV partition, from, to, nonce, fences as JSON,
 * greatest stamp of them or '', watermark stamp or '', echo, partition count or '', longest bus, shortMs, LSN of the watermark or '',
 * number of classes, pairs of (field of `w`, stamp) for classes and `*`, then W of each tag. The entry carries the LSN only
 * where the watermark it tells is not newer than the one the LSN belongs to.
 * Stamps of an older generation fence nothing here, so a watermark of one vouches for nothing: it is passed over, and
 * the newer generation is answered behind the id.
 */
export const ADVANCE = script(`
#!lua flags=allow-oom
${RAISE_FENCES}
local behind = 13 + 2 * ARGV[13]
raise_fences(3, #ARGV - behind, ARGV[11], ARGV[4], behind)

local w = KEYS[1]
if redis.call('EXISTS', w) == 0 then return {'absent'} end
local field = 'p:' .. ARGV[1]
local stands = redis.call('HGET', w, field)
if not stands then return {'unknown'} end
if stands ~= ARGV[2] then return {'stands', stands} end

local function raise(name, stamp)
  local known = redis.call('HGET', w, name)
  if not known or known < stamp then redis.call('HSET', w, name, stamp) end
end
redis.call('HSET', w, field, ARGV[3])
local newest, epoch = ARGV[6], redis.call('HGET', w, '*'):sub(1, 8)
if newest < ARGV[7] then newest = ARGV[7] end
local isOutdated = newest ~= '' and newest:sub(1, 8) < epoch
if ARGV[6] ~= '' then raise('max', ARGV[6]) end
for i = 14, behind, 2 do raise(ARGV[i], ARGV[i + 1]) end
if ARGV[7] ~= '' and ARGV[7]:sub(1, 8) >= epoch then
  raise('m:' .. ARGV[1], ARGV[7])
  local echo = tonumber(redis.call('HGET', w, 'r:' .. ARGV[1]) or '')
  if ARGV[8] ~= '' and (not echo or echo < tonumber(ARGV[8])) then redis.call('HSET', w, 'r:' .. ARGV[1], ARGV[8]) end
  redis.call('HSET', w, 'n', ARGV[9])
end

local watermark, oldest = nil, nil
local count = tonumber(redis.call('HGET', w, 'n'))
for i = 0, count - 1 do
  local m = redis.call('HGET', w, 'm:' .. i) or ''
  local r = redis.call('HGET', w, 'r:' .. i) or ''
  if not watermark or m < watermark then watermark = m end
  if not oldest or r == '' or (oldest ~= '' and tonumber(r) < tonumber(oldest)) then oldest = r end
end
local last = redis.call('HGET', w, 'last')
local lsn = watermark ~= '' and watermark <= ARGV[7] and ARGV[12] or ''
local id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[10], '*',
  'n', ARGV[4], 'p', last, 'f', ARGV[5], 'm', watermark, 'r', oldest, 'l', lsn)
redis.call('HSET', w, 'last', ARGV[4], 'id', id, 'm', watermark)
return {'applied', id, isOutdated and redis.call('HGET', w, 'g') or ''}
`)

/**
 * KEYS w, bus; ARGV generation, partition, next, partitions, nonce, start of the epoch, longest bus, 1 for a repeated flush,
 * which is answered 'absent' where it would begin.
 * A partition that is already in this generation keeps its position unless it stands exactly at the flush: records
 * between the two have not been applied, and no fence of `*` covers them a second time. An older flush is a record
 * like any other.
 */
export const OPEN = script(`
#!lua flags=allow-oom
local w = KEYS[1]
local generation = tonumber(redis.call('HGET', w, 'g') or '-1')
local asked = tonumber(ARGV[1])
local field = 'p:' .. ARGV[2]
if generation > asked then
  local stands = redis.call('HGET', w, field)
  if stands and tonumber(stands) == tonumber(ARGV[3]) - 1 then redis.call('HSET', w, field, ARGV[3]) end
  return {'older', redis.call('HGET', w, 'id'), generation}
end
local kind, last = 'joined', ''
if generation < asked then
  if ARGV[8] == '1' then return {'absent'} end
  kind = 'opened'
  redis.call('DEL', w)
  redis.call('HSET', w, 'g', ARGV[1], 'n', ARGV[4], '*', ARGV[6], 'max', ARGV[6])
else
  local stands = redis.call('HGET', w, field)
  local isElsewhere = stands and tonumber(stands) ~= tonumber(ARGV[3]) - 1
  if isElsewhere or (not stands and ARGV[8] == '1') then return {'joined', redis.call('HGET', w, 'id')} end
  last = redis.call('HGET', w, 'last')
end
redis.call('HSET', w, field, ARGV[3])
local id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[7], '*',
  'n', ARGV[5], 'p', last, 'f', '[["*","' .. ARGV[6] .. '",0]]', 'm', '', 'r', '')
redis.call('HSET', w, 'last', ARGV[5], 'id', id)
return {kind, id}
`)

/** KEYS w, bus. Answers all fields and values of `w` and the last bus id ('' for an empty bus) in one step. */
export const ATTACH = script(`
#!lua flags=no-writes
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
return {redis.call('HGETALL', KEYS[1]), newest[1] and newest[1][1] or ''}
`)

/**
 * KEYS acks; ARGV process id, bus id. Stamps the ack with Redis' own time, wakes the purger, and answers how many processes
 * acknowledge. A user that may not publish acknowledges all the same: the purger also polls.
 */
export const ACK = script(`
#!lua flags=allow-oom
local time = redis.call('TIME')
local at = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], '{"id":"' .. ARGV[2] .. '","at":' .. string.format('%d', at) .. '}')
redis.pcall('PUBLISH', KEYS[1], ARGV[1])
return redis.call('HLEN', KEYS[1])
`)

const SEQUENCE = `
local w = KEYS[1]
if redis.call('EXISTS', w) == 0 then
  local seconds = tonumber(redis.call('TIME')[1])
  local start = string.format('%08x', seconds) .. string.rep('0', 20)
  redis.call('HSET', w, 'g', seconds, 'n', 1, 'q', 0, '*', start, 'max', start)
elseif redis.call('HEXISTS', w, 'q') == 0 then
  return redis.error_reply('a pipeline keeps this namespace: set coherence to log')
end
local function stampOf(q) return string.format('%08x%016x', redis.call('HGET', w, 'g'), q) .. 'ffff' end
`

/** KEYS w. Answers the next stamp of the sequence of explicit invalidations. */
export const DRAW = script(`
#!lua flags=allow-oom
${SEQUENCE}
return stampOf(redis.call('HINCRBY', w, 'q', 1))
`)

/**
 * KEYS w, bus; ARGV nonce, stamp or '' for a beat, fences as JSON, interval of beats in µs, longest bus, then coarse fields
 * of `w`. Answers 0 where the sequence began anew since the stamp was drawn.
 */
export const PUBLISH = script(`
#!lua flags=allow-oom
${SEQUENCE}
local stamp, time = ARGV[2], redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if stamp == '' then
  local age = now - tonumber(redis.call('HGET', w, 'r:0') or '0')
  if age >= 0 and age < tonumber(ARGV[4]) then return 1 end
elseif stamp:sub(1, 8) ~= string.format('%08x', redis.call('HGET', w, 'g')) then
  return 0
else
  for i = 6, #ARGV do
    local known = redis.call('HGET', w, ARGV[i])
    if not known or known < stamp then redis.call('HSET', w, ARGV[i], stamp) end
  end
  if redis.call('HGET', w, 'max') < stamp then redis.call('HSET', w, 'max', stamp) end
end
local watermark, echo = stampOf(redis.call('HGET', w, 'q')), string.format('%.0f', now)
local id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', 'n', ARGV[1],
  'p', redis.call('HGET', w, 'last') or '', 'f', ARGV[3], 'm', watermark, 'r', echo)
redis.call('HSET', w, 'm:0', watermark, 'm', watermark, 'r:0', echo, 'last', ARGV[1], 'id', id)
return 1
`)

/** Every script, for loading them all at once. */
export const SCRIPTS: readonly Script[] = [
  INVALIDATE,
  LEASE,
  TOUCH,
  STORE,
  RELEASE,
  ADVANCE,
  OPEN,
  ATTACH,
  ACK,
  DRAW,
  PUBLISH,
]
