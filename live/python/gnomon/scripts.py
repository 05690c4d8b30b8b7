"""The Lua that runs inside Redis: append to a lane, beat, read the watermark, trim, change flags.

Each script is all or nothing and may be repeated after a lost reply: appends by the producer's batch number, trims and
beats because they set rather than add.
"""

from typing import Final

# KEYS stream, state, funnel, scheduled, high water, queue · ARGV batch number, byte cap, watermark, hint lifetime ms,
# high-water lifetime ms, hint ("" for none), captures, entries, then user digest, captures and payload of each entry,
# then funnel field and increment pairs. Returns "full", "repeated", "appended" or "hinted".
APPEND: Final = """
local seq = tonumber(ARGV[1])
local high = tonumber(redis.call('GET', KEYS[5]) or '0')
if seq <= high then return 'repeated' end
local state = redis.call('HMGET', KEYS[2], 'appended', 'trimmed', 'captured')
local appended, trimmed, captured = tonumber(state[1] or '0'), tonumber(state[2] or '0'), tonumber(state[3] or '0')
local entries = tonumber(ARGV[8])
local size = 0
for i = 0, entries - 1 do size = size + #ARGV[11 + 3 * i] end
if entries > 0 and appended - trimmed + size > tonumber(ARGV[2]) then return 'full' end
for i = 0, entries - 1 do
  local payload = ARGV[11 + 3 * i]
  appended = appended + #payload
  redis.call('XADD', KEYS[1], '*', 'u', ARGV[9 + 3 * i], 'n', ARGV[10 + 3 * i], 'w', ARGV[3],
             'b', string.format('%.0f', appended), 'p', payload)
end
redis.call('HSET', KEYS[2], 'appended', string.format('%.0f', appended),
           'captured', string.format('%.0f', captured + tonumber(ARGV[7])))
for i = 9 + 3 * entries, #ARGV, 2 do redis.call('HINCRBY', KEYS[3], ARGV[i], ARGV[i + 1]) end
redis.call('SET', KEYS[5], ARGV[1], 'PX', ARGV[5])
if entries > 0 and ARGV[6] ~= '' and redis.call('SET', KEYS[4], '1', 'NX', 'PX', ARGV[4]) then
  redis.call('LPUSH', KEYS[6], ARGV[6])
  return 'hinted'
end
return 'appended'
"""

# KEYS own heartbeat, producers, watermarks, flags · ARGV producer ("" to only look), lifetime ms, watermark µs, then
# field and value pairs. Returns the server's time (s, µs), the lowest live watermark, the stored flags; "" for none.
BEAT: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)) do
  redis.call('ZREM', KEYS[2], dead)
  redis.call('ZREM', KEYS[3], dead)
end
if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[1], unpack(ARGV, 4))
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  redis.call('ZADD', KEYS[2], now + tonumber(ARGV[2]), ARGV[1])
  redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
end
local lowest = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
return {time[1], time[2], lowest[2] or '', redis.call('GET', KEYS[4]) or ''}
"""

# KEYS own heartbeat, producers, watermarks · ARGV producer. A process that says goodbye holds nothing back any more.
LEAVE: Final = """
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('ZREM', KEYS[3], ARGV[1])
"""

# KEYS stream, state · ARGV oldest id to keep, bytes appended up to what is trimmed. Returns entries removed.
TRIM: Final = """
local removed = redis.call('XTRIM', KEYS[1], 'MINID', ARGV[1])
local trimmed = tonumber(redis.call('HGET', KEYS[2], 'trimmed') or '0')
if tonumber(ARGV[2]) > trimmed then redis.call('HSET', KEYS[2], 'trimmed', ARGV[2]) end
return removed
"""

# KEYS lease · ARGV token, lifetime ms. Returns 1 while the token still holds the lane.
EXTEND: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""

# KEYS lease, journal · ARGV token, then capture id and finding pairs. Returns 1 where the token still holds the lane.
JOURNAL: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
return 1
"""

# KEYS lease, stream, scheduled, journal · ARGV token, hint lifetime ms. Gives the lane back if it is still held, with
# nothing in the journal of an empty lane. Returns the entries still waiting; the scheduled flag is left set where
# somebody must be hinted.
RELEASE: Final = """
local waiting = redis.call('XLEN', KEYS[2])
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
  if waiting == 0 then redis.call('DEL', KEYS[4]) end
end
if waiting == 0 then redis.call('DEL', KEYS[3]) else redis.call('SET', KEYS[3], '1', 'PX', ARGV[2]) end
return waiting
"""

# KEYS flags · ARGV expected version, document. Returns 1, or 0 where somebody else changed the flags first.
STORE_FLAGS: Final = """
local stored = redis.call('GET', KEYS[1])
local version = stored and cjson.decode(stored)['version'] or 0
if version ~= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
