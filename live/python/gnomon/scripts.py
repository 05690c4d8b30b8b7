"""The Lua that runs inside Redis: append to a lane, beat, read the watermark, trim, change flags.

Each script is all or nothing and may be repeated after a lost reply: appends by the producer's batch number, trims and
beats because they set rather than add.
"""

from typing import Final

MOST_GAPS: Final = 10_000  # of one lane that nobody has taken yet; beyond, all its users are in a gap
ENTRY_BYTES: Final = 128  # what an entry takes beside its payload (docs/backpressure.md)
BEAT_LIFETIME_MS: Final = 10_000  # a process unheard of for so long holds nobody back: longer than a Redis restart
UNHEARD_MS: Final = 5_000  # where Redis heard of nobody at all for longer, it was away: they beat four times a second
SET_BACK_MS: Final = 3_000  # clocks of Redis and a sender that are apart by more were set: an answer takes at most 2 s
SET_FORWARD_MS: Final = 6_000  # in this direction, how long the question was under way is in it

# Sets what lies in a lane; what lies in all of them is the sum at any moment.
_STOCKED: Final = """
local function stocked(stock, lane, bytes)
  local more = bytes - tonumber(redis.call('HGET', stock, lane) or '0')
  if more == 0 then return end
  redis.call('HSET', stock, lane, string.format('%.0f', bytes))
  redis.call('HINCRBY', stock, 'total', string.format('%.0f', more))
end
"""

# KEYS stream, state, sender, scheduled, senders, queue, gaps, users, stock, oldest · ARGV batch number, the lane's byte
# cap, watermark, hint lifetime ms, sender lifetime ms, hint ("" for none), producer, clock error µs, captures, number
# of the first entry, entries, gaps, lane, byte cap of all lanes (a cap of 0 is none), the producer's time, ms (0:
# whatever it is), then user digest, captures and payload of each entry, then digest and µs of each gap, then counter
# and value pairs: all that this producer ever counted there, so that nothing is forgotten with Redis or counted twice.
# Returns "misaligned" where the clock was set since the producer asked: its stamps are of another time. Else "full",
# "repeated", "appended" or "hinted".
APPEND: Final = (
    _STOCKED
    + f"local most_gaps, entry_bytes, behind, before = {MOST_GAPS}, {ENTRY_BYTES}, {SET_BACK_MS}, {SET_FORWARD_MS}"
    + """
local number = tonumber(ARGV[1])
if number <= tonumber(redis.call('HGET', KEYS[3], 'batch') or '0') then return 'repeated' end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local told = tonumber(ARGV[15])
if told > 0 and (told - now > behind or now - told > before) then return 'misaligned' end
local state = redis.call('HMGET', KEYS[2], 'appended', 'trimmed', 'captured')
local appended, trimmed, captured = tonumber(state[1] or '0'), tonumber(state[2] or '0'), tonumber(state[3] or '0')
local entries, gaps = tonumber(ARGV[11]), tonumber(ARGV[12])
local size, cap, total_cap = entry_bytes * entries, tonumber(ARGV[2]), tonumber(ARGV[14])
for i = 0, entries - 1 do size = size + #ARGV[18 + 3 * i] end
if entries > 0 then
  if cap > 0 and appended - trimmed + size > cap then return 'full' end
  local total = tonumber(redis.call('HGET', KEYS[9], 'total') or '0')
  if total_cap > 0 and total + size > total_cap then return 'full' end
end
for i = 0, entries - 1 do
  local payload = ARGV[18 + 3 * i]
  appended = appended + entry_bytes + #payload
  redis.call('XADD', KEYS[1], '*', 'u', ARGV[16 + 3 * i], 'n', ARGV[17 + 3 * i], 'w', ARGV[3],
             'e', ARGV[8], 'b', string.format('%.0f', appended),
             's', ARGV[7] .. ':' .. string.format('%.0f', ARGV[10] + i), 'p', payload)
  redis.call('ZADD', KEYS[8], now, ARGV[16 + 3 * i])
end
if entries > 0 then
  stocked(KEYS[9], ARGV[13], math.max(0, appended - trimmed))
  redis.call('ZADD', KEYS[10], 'NX', now, ARGV[13])
  redis.call('PEXPIRE', KEYS[8], 7200000)
  if number % 64 == 0 then redis.call('ZREMRANGEBYSCORE', KEYS[8], '-inf', now - 3600000) end
end
local room = gaps > 0 and most_gaps - redis.call('HLEN', KEYS[7])
for i = 16 + 3 * entries, 14 + 3 * entries + 2 * gaps, 2 do
  local digest = ARGV[i]
  local since = redis.call('HGET', KEYS[7], digest)
  if not since and room <= 0 then
    digest = '*'
    since = redis.call('HGET', KEYS[7], digest)
  end
  if not since or tonumber(ARGV[i + 1]) < tonumber(since) then redis.call('HSET', KEYS[7], digest, ARGV[i + 1]) end
  if not since then room = room - 1 end
end
redis.call('HSET', KEYS[2], 'appended', string.format('%.0f', appended),
           'captured', string.format('%.0f', captured + tonumber(ARGV[9])))
redis.call('HSET', KEYS[3], 'batch', ARGV[1], 'entries', string.format('%.0f', ARGV[10] + entries - 1),
           unpack(ARGV, 16 + 3 * entries + 2 * gaps))
redis.call('PEXPIRE', KEYS[3], ARGV[5])
redis.call('ZADD', KEYS[5], string.format('%.0f', now * 1000 + number % 1000), ARGV[7])
if number % 64 == 0 then redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', (now - tonumber(ARGV[5])) * 1000) end
if entries > 0 and ARGV[6] ~= '' and redis.call('SET', KEYS[4], '1', 'NX', 'PX', ARGV[4]) then
  redis.call('LPUSH', KEYS[6], ARGV[6])
  return 'hinted'
end
return 'appended'
"""
)

# KEYS own heartbeat, producers, watermarks, flags, readiness, unready, dead, metrics, pressure, stock, oldest, heard
# · ARGV producer ("" to only look), lifetime ms, watermark µs, versions known of flags, readiness and unready, number
# of this beat, metrics, then metric and increment pairs, then field and value pairs of the heartbeat. A producer
# unheard of is moved to the dead, with what it said last; one that is heard of again comes back from there. A time in
# which Redis heard of nobody counts against nobody: it was frozen, full or unreachable, or its clock was set; not
# even where that cannot be written down yet. Nor does anybody live for longer because the clock was set back. Returns
# the server's time (s, µs), the lowest live watermark ("" for none, 0 where one is of a time before the clock was set
# back: it promises nothing), version and document of the flags, of the readiness, and version and fields of the
# exceptions; a document is "" where its version is known. Then of the last step of shedding: when, below which place
# users are shed, the cap it found, the bytes that lay there, and the lag, ms; the bytes that lie in the lanes now;
# and when the oldest entry was appended, ms ("" for none).
BEAT: Final = (
    f"local lifetime, behind, unheard = {BEAT_LIFETIME_MS}, {SET_BACK_MS}, {UNHEARD_MS}"
    """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local heard = redis.pcall('GET', KEYS[12])
local silent = type(heard) == 'string' and now - (tonumber(heard) or now)
local away = silent and silent > unheard and silent or 0
if not silent or math.abs(silent) > 100 then
  local noted = redis.pcall('SET', KEYS[12], now)
  if away > 0 and not noted.err then
    for _, name in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do redis.call('ZINCRBY', KEYS[2], away, name) end
    away = 0
  end
end
if ARGV[1] ~= '' then
  redis.call('ZADD', KEYS[2], now + tonumber(ARGV[2]), ARGV[1])
  redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
  redis.call('HDEL', KEYS[7], ARGV[1])
  local counted = tonumber(redis.call('HGET', KEYS[1], 'beat') or '0')
  local pairs_end = 8 + 2 * tonumber(ARGV[8])
  if tonumber(ARGV[7]) > counted then
    for i = 9, pairs_end, 2 do redis.call('HINCRBY', KEYS[8], ARGV[i], ARGV[i + 1]) end
  end
  redis.call('HSET', KEYS[1], 'beat', ARGV[7], unpack(ARGV, pairs_end + 1))
  redis.call('PEXPIRE', KEYS[1], 6 * tonumber(ARGV[2]))
end
for _, longer in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], now + lifetime + behind, '+inf')) do
  redis.call('ZADD', KEYS[2], now + lifetime, longer)
end
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - away)) do
  local own = string.sub(KEYS[4], 1, -6) .. 'producer:' .. dead
  local said = redis.call('HMGET', own, 'host', 'pid', 'buffered')
  local low = redis.call('ZSCORE', KEYS[3], dead)
  redis.call('HSET', KEYS[7], dead, cjson.encode({
    watermark = tonumber(low or '0'), died_ms = now, host = said[1] or '', pid = said[2] or '',
    buffered = tonumber(said[3] or '0')}))
  redis.call('ZREM', KEYS[2], dead)
  redis.call('ZREM', KEYS[3], dead)
  redis.call('DEL', own)
end
local function changed(key, known)
  local stored = redis.pcall('HMGET', key, 'version', 'document')
  if stored.err then return '-1', stored.err end
  local version = stored[1] or '0'
  return version, version ~= known and stored[2] or ''
end
local flags_version, flags = changed(KEYS[4], ARGV[4])
local ready_version, readiness = changed(KEYS[5], ARGV[5])
local unready_version, unready = redis.pcall('HGET', KEYS[6], 'version') or '0', {}
if type(unready_version) == 'table' then unready_version, unready = '-1', {'*', '0'}
elseif unready_version ~= ARGV[6] then unready = redis.call('HGETALL', KEYS[6]) end
local lowest = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
local highest = redis.call('ZREVRANGE', KEYS[3], 0, 0, 'WITHSCORES')
if highest[2] and tonumber(highest[2]) > (now + behind) * 1000 then lowest[2] = '0' end
local step = redis.pcall('HMGET', KEYS[9], 'at', 'below', 'cap_bytes', 'size_bytes', 'lag_ms')
if step.err then step = {'0', '0', '0', '0', '0'} end
local stock = redis.call('HGET', KEYS[10], 'total')
local oldest = redis.call('ZRANGE', KEYS[11], 0, 0, 'WITHSCORES')
return {time[1], time[2], lowest[2] or '', flags_version, flags, ready_version, readiness, unready_version, unready,
        step, stock, oldest[2] or ''}
"""
)

# KEYS pressure · ARGV when the last step was taken (0: never), below which place users are shed from now on, cap, bytes
# in the lanes, lag ms, the cap that was set. Returns 1; 0 where somebody else was faster.
PACE: Final = """
if (redis.call('HGET', KEYS[1], 'at') or '0') ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
local now = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
redis.call('HSET', KEYS[1], 'at', now, 'below', ARGV[2], 'cap_bytes', ARGV[3], 'size_bytes', ARGV[4],
           'lag_ms', ARGV[5], 'total_bytes', ARGV[6])
return 1
"""

# KEYS stream, senders · ARGV prefix of the senders' keys, id to begin at, most entries to look at. Returns, of one
# moment: the entries in the lane, the captures in those from that id on (-1: too many to count), then each producer
# that sent anything, followed by all fields of what it sent.
STOCK: Final = """
local captures, from, left = 0, ARGV[2], tonumber(ARGV[3])
while captures >= 0 do
  local page = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 256)
  for _, entry in ipairs(page) do
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'n' then captures = captures + (tonumber(entry[2][i + 1]) or 1) end
    end
    from = '(' .. entry[1]
  end
  left = left - #page
  if #page < 256 then break end
  if left <= 0 then captures = -1 end
end
local told = {redis.call('XLEN', KEYS[1]), captures}
for _, producer in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  told[#told + 1] = producer
  told[#told + 1] = redis.call('HGETALL', ARGV[1] .. producer)
end
return told
"""

# KEYS own heartbeat, producers, watermarks · ARGV producer. A process that says goodbye holds nothing back any more.
LEAVE: Final = """
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('ZREM', KEYS[3], ARGV[1])
"""

# What is left in a lane once it was trimmed: an empty lane holds no bytes, whatever was forgotten of its figures.
_TRIMMED: Final = """
local function told(stream, state, stock, oldest, lane, upto)
  local known = redis.call('HMGET', state, 'appended', 'trimmed')
  local appended, trimmed = tonumber(known[1] or '0'), tonumber(known[2] or '0')
  local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  local gone = math.max(trimmed, upto, first and 0 or appended)
  if gone > trimmed then redis.call('HSET', state, 'trimmed', string.format('%.0f', gone)) end
  stocked(stock, lane, math.max(0, appended - gone))
  if first then redis.call('ZADD', oldest, string.match(first[1], '^%d+'), lane)
  else redis.call('ZREM', oldest, lane) end
end
"""

# KEYS lease, stream, state, stock, oldest · ARGV token, oldest id to keep, bytes appended up to what is trimmed, lane.
# Only for who holds the lane: a Redis that has lost everything may give low ids again, to entries that nobody has read.
# Returns 1 where it was done.
TRIM: Final = (
    _STOCKED
    + _TRIMMED
    + """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('XTRIM', KEYS[2], 'MINID', ARGV[2])
told(KEYS[2], KEYS[3], KEYS[4], KEYS[5], ARGV[4], tonumber(ARGV[3]))
return 1
"""
)

# KEYS lease, stream, state, stock, oldest · ARGV token, bytes appended up to the last entry, lane, then ids of entries
# in their order: removes those, wherever they lie. Only for whoever holds the lane. Returns 1 where it was done.
REMOVE: Final = (
    _STOCKED
    + _TRIMMED
    + """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for i = 4, #ARGV do redis.call('XDEL', KEYS[2], ARGV[i]) end
local behind = #redis.call('XRANGE', KEYS[2], '-', ARGV[#ARGV], 'COUNT', 1) == 0
told(KEYS[2], KEYS[3], KEYS[4], KEYS[5], ARGV[3], behind and tonumber(ARGV[2]) or 0)
return 1
"""
)

# KEYS lease · ARGV token, lifetime ms. Returns 1 while the token still holds the lane.
EXTEND: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""

# KEYS lease, journal · ARGV token, then capture id and finding pairs. Returns 1 where the token still holds the lane.
JOURNAL: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('PERSIST', KEYS[2])
return 1
"""

# KEYS lease, attempts · ARGV token, where the lane stands. Counts an attempt at the batch that begins there. Returns
# its number; nothing where the token does not hold the lane.
COUNT_BATCH: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
if redis.call('HGET', KEYS[2], 'at') ~= ARGV[2] then redis.call('HSET', KEYS[2], 'at', ARGV[2], 'n', 0) end
return redis.call('HINCRBY', KEYS[2], 'n', 1)
"""

# KEYS lease, attempts · ARGV token, capture id. Counts an attempt at a capture. Returns its number; nothing where the
# token does not hold the lane.
COUNT_CAPTURE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
return redis.call('HINCRBY', KEYS[2], ARGV[2], 1)
"""

# KEYS lease, stream, scheduled, journal, attempts · ARGV token, hint lifetime ms, 1 where a batch was put aside. Gives
# the lane back if it is still held, in good order: the attempt under way was none. Nothing stays of an empty lane but,
# for an hour, the journal of a batch whose entries may be sent again. Returns the entries that still wait; the
# scheduled flag is left set where somebody must be hinted.
RELEASE: Final = """
local waiting = redis.call('XLEN', KEYS[2])
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
  redis.call('HDEL', KEYS[5], 'at', 'n')
  if waiting == 0 then
    redis.call('DEL', KEYS[5])
    if ARGV[3] == '1' then redis.call('PEXPIRE', KEYS[4], 3600000)
    elseif redis.call('PTTL', KEYS[4]) < 0 then redis.call('DEL', KEYS[4]) end
  end
end
if waiting == 0 then redis.call('DEL', KEYS[3]) else redis.call('SET', KEYS[3], '1', 'PX', ARGV[2]) end
return waiting
"""

# KEYS flags or readiness · ARGV version expected, version new, document, channel. Returns 1, or 0 where somebody else
# was faster; tells every live process to look.
STORE: Final = """
if (redis.call('HGET', KEYS[1], 'version') or '0') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'document', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[2])
return 1
"""

# KEYS unready · ARGV channel, most, then user digest and µs pairs; beyond the most, all users are excepted together.
# Returns the version from which on all know of them.
MARK_UNREADY: Final = """
local too_many = redis.call('HLEN', KEYS[1]) + #ARGV / 2 > tonumber(ARGV[2])
for i = 3, #ARGV, 2 do
  local digest = too_many and '*' or ARGV[i]
  local since = redis.call('HGET', KEYS[1], digest)
  if not since or tonumber(since) < tonumber(ARGV[i + 1]) then redis.call('HSET', KEYS[1], digest, ARGV[i + 1]) end
end
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('PUBLISH', ARGV[1], version)
return version
"""

# KEYS unready · ARGV then user digest and µs pairs: lets go of each exception that is no younger. Returns how many.
CLEAR_UNREADY: Final = """
local cleared = 0
for i = 1, #ARGV, 2 do
  local since = redis.call('HGET', KEYS[1], ARGV[i])
  if since and tonumber(since) <= tonumber(ARGV[i + 1]) then
    cleared = cleared + redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
if cleared > 0 then redis.call('HINCRBY', KEYS[1], 'version', 1) end
return cleared
"""
