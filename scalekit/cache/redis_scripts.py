"""
What is done in Redis, each in one step: Lua for EVALSHA.

All take one key, the namespace; what stands below it is in `scalekit.cache.redis_records`.
"""

from __future__ import annotations

from hashlib import sha1

#: Of each stream.  A name has a kilobyte at most: 10 MB.  A reader that is further behind has seen nothing for long.
ENTRIES_KEPT = 10_000
#: Soft purges of one tag, or purges by prefix, that are told apart; with one more all that they could mean is gone.
#: Each read is held against those by prefix.
MOST_TOLD_APART = 64
#: Purges that came while a value was made; with more it is not stored.
MOST_SINCE = 1000

_COMMON = (
    f"""
local MOST_SINCE = {MOST_SINCE}
"""
    + """
local ns = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function whole(number) return string.format('%.0f', number) end

-- Unique also when Redis has lost the last one.
local function next_serial()
    local serial = whole(math.max(time[1] * 1000000 + time[2], (redis.call('GET', ns .. 'serial') or 0) + 1))
    redis.call('SET', ns .. 'serial', serial)
    return serial
end

-- What purges by prefix have made of a key: whether it is gone, and since when it is stale.
local function prefixed(key, own)
    local moment = math.huge
    local states = redis.call('HGETALL', ns .. 'tag:')
    for at = 1, #states, 2 do
        local kind, prefix = string.sub(states[at], 1, 4), string.sub(states[at], 5)
        if (kind == 'hard' or kind == 'soft') and string.sub(key, 1, #prefix) == prefix then
            local serial, came = string.match(states[at + 1], '(%d+) (%d+)')
            if tonumber(serial) > tonumber(own) then
                if kind == 'hard' then
                    return true, moment
                end
                moment = math.min(moment, tonumber(came))
            end
        end
    end
    return false, moment
end

-- The name and the times of what is under this key; nil if there is nothing, or it was purged.  What soft purges have
-- made of the times is written down if it is to be.
local function live(key, is_written)
    local name = ns .. 'value:' .. key
    local held = redis.call('HMGET', name, 'expires', 'revalidates', 'leaves', 'tags', 'serial')
    if not held[1] then
        return nil
    end
    local is_gone, moment = prefixed(key, held[5])
    for generation, tag in string.gmatch(held[4], '(%d+) ([^\\n]*)\\n') do
        local states = redis.call('HMGET', ns .. 'tag:' .. tag, 'now', generation)
        if states[1] ~= generation then
            is_gone = is_gone or not states[2]
            moment = math.min(moment, tonumber(states[2]) or moment)
        end
    end
    local expires, revalidates, leaves = tonumber(held[1]), tonumber(held[2]), tonumber(held[3])
    if not is_gone and moment < expires then
        revalidates, leaves, expires = moment + revalidates - expires, moment + leaves - expires, moment
        if is_written then
            redis.call('HSET', name, 'expires', whole(expires), 'revalidates', whole(revalidates),
                       'leaves', whole(leaves))
            redis.call('PEXPIREAT', name, whole(leaves))
        end
    end
    if is_gone or leaves <= now then
        redis.call('UNLINK', name)
        return nil
    end
    return name, expires, revalidates, leaves
end

local function last()
    local entries = redis.call('XREVRANGE', ns .. 'purges', '+', '-', 'COUNT', 1)
    if #entries > 0 then
        return entries[1][1]
    end
    return redis.call('XADD', ns .. 'purges', '*', 'is', 'begun')
end

-- What the purges after one have made of a key, with these tags; if nobody knows, as that one is not there or they are
-- too many, it is gone.
local function verdict(key, since, bears)
    if last() == since then
        return 'kept'
    end
    local entries = redis.call('XRANGE', ns .. 'purges', since, '+', 'COUNT', MOST_SINCE + 1)
    if #entries == 0 or entries[1][1] ~= since or #entries > MOST_SINCE then
        return 'gone'
    end
    local found = 'kept'
    for at = 2, #entries do
        local _, _, _, kind, _, name, _, soft = unpack(entries[at][2])
        if (kind == 'key' and name == key) or (kind == 'tag' and bears[name])
                or (kind == 'prefix' and string.sub(key, 1, #name) == name) then
            if soft ~= '1' then
                return 'gone'
            end
            found = 'stale'
        end
    end
    return found
end

local function read(key)
    local name, expires, revalidates, leaves = live(key)
    if not name then
        return {}, 0
    end
    local held = redis.call('HMGET', name, 'value', 'stored', 'tags')
    return {held[1], held[2], whole(expires), whole(revalidates), whole(leaves), held[3], whole(now)}, expires
end
"""
)

#: ARGV: nothing.  The id of the latest purge.
LAST = _COMMON + "return last()"

#: ARGV: key.  A `Reply`, empty if there is nothing.
READ = _COMMON + "return (read(ARGV[1]))"

#: ARGV: key, digest, token, milliseconds.  Whether the lease is granted, how long it or the other's lasts, a `Reply`; a
#: zero and nothing for what is fresh.
ASK = (
    _COMMON
    + """
local found, expires = read(ARGV[1])
if expires > now then
    return {0, 0, found}
end
local lease = ns .. 'lease:' .. ARGV[2]
local mine = ARGV[3] .. ' ' .. last() .. ' ' .. ARGV[1]
if redis.call('SET', lease, mine, 'NX', 'PX', ARGV[4]) then
    return {1, tonumber(ARGV[4]), found}
end
-- What its holder makes will not be stored if a purge came since.
local begun, key = string.match(redis.call('GET', lease), '^%S+ (%S+) (.*)$')
if verdict(key, begun, {}) == 'gone' then
    redis.call('SET', lease, mine, 'PX', ARGV[4])
    return {1, tonumber(ARGV[4]), found}
end
return {0, redis.call('PTTL', lease), found}
"""
)

#: ARGV: key, digest, token or nothing, id of the purge that it was begun after (nothing: that of the lease), run, value
#: and its etag, milliseconds of max-age, of stale-while-revalidate, of stale-if-error, the etag that must be there, or
#: "*", tags with a line feed after each.  What came of it, and 1 if it is stored as stale.
PUT = (
    _COMMON
    + f"""
local key, token, since = ARGV[1], ARGV[3], ARGV[4]

local lease = ns .. 'lease:' .. ARGV[2]
if token ~= '' then
    local held, begun, of = string.match(redis.call('GET', lease) or '', '^(%S+) (%S+) (.*)$')
    if held ~= token or of ~= key then
        return {{'purged', 0}}
    end
    if since == '' then
        since = begun
    end
end
local names, bears = {{}}, {{}}
for tag in string.gmatch(ARGV[12], '([^\\n]*)\\n') do
    names[#names + 1], bears[tag] = tag, true
end
local made = verdict(key, since, bears)
local window = math.max(ARGV[9], ARGV[10])
if made == 'gone' or (made == 'stale' and window == 0) then
    return {{'purged', 0}}
end
local there = live(key)
if ARGV[11] ~= '*' and ARGV[11] ~= (there and redis.call('HGET', there, 'etag') or '') then
    return {{'unmatched', 0}}
end
local expires = made == 'stale' and now or now + ARGV[8]
local leaves = expires + window
local tags = ''
for _, tag in ipairs(names) do
    local name = ns .. 'tag:' .. tag
    local generation = redis.call('HGET', name, 'now')
    if not generation then
        generation = next_serial()
        redis.call('HSET', name, 'now', generation)
    end
    if redis.call('PTTL', name) <= leaves - now then
        redis.call('PEXPIRE', name, whole(leaves - now + 1))
    end
    tags = tags .. generation .. ' ' .. tag .. '\\n'
end
local name = ns .. 'value:' .. key
redis.call('UNLINK', name)
redis.call('HSET', name, 'value', ARGV[6], 'etag', ARGV[7], 'stored', whole(now), 'expires', whole(expires),
           'revalidates', whole(expires + ARGV[9]), 'leaves', whole(leaves), 'tags', tags,
           'serial', next_serial())
redis.call('PEXPIREAT', name, whole(leaves))
redis.call('DEL', lease)
redis.call('XADD', ns .. 'stores', 'MAXLEN', '~', {ENTRIES_KEPT}, '*', 'by', ARGV[5], 'is', 'stored', 'key', key)
return {{there and 'replaced' or 'created', made == 'stale' and 1 or 0}}
"""
)

#: ARGV: digest, token, run.  The key whose lease it was, if it was one.
RELEASE = (
    _COMMON
    + f"""
local lease = ns .. 'lease:' .. ARGV[1]
local held, _, key = string.match(redis.call('GET', lease) or '', '^(%S+) (%S+) (.*)$')
if held ~= ARGV[2] then
    return false
end
redis.call('DEL', lease)
redis.call('XADD', ns .. 'stores', 'MAXLEN', '~', {ENTRIES_KEPT}, '*', 'by', ARGV[3], 'is', 'released', 'key', key)
return key
"""
)

#: ARGV: run, then for each: kind, name, soft ("1" or "0"), digest of a key.  The id of the last.
PURGE = (
    _COMMON
    + f"""
local function purge_key(key, soft, digest)
    if not soft then
        redis.call('UNLINK', ns .. 'value:' .. key, ns .. 'lease:' .. digest)
        return
    end
    local name, expires, revalidates, leaves = live(key)
    if name and expires > now then
        leaves = now + leaves - expires
        redis.call('HSET', name, 'expires', whole(now), 'revalidates', whole(now + revalidates - expires),
                   'leaves', whole(leaves))
        redis.call('PEXPIREAT', name, whole(leaves))
    end
end

local function note(name, field, content)
    redis.call('HSET', name, field, content)
    if redis.call('HLEN', name) > {MOST_TOLD_APART} then
        redis.call('UNLINK', name)
    end
end

local function purge_tag(tag, soft, serial)
    local name = ns .. 'tag:' .. tag
    local generation = soft and redis.call('HGET', name, 'now')
    if generation then
        redis.call('HSET', name, 'now', serial)
        note(name, generation, whole(now))
    else
        redis.call('UNLINK', name)
    end
end

local function purge_prefix(prefix, soft, serial)
    if prefix == '' then
        purge_tag('', soft, serial)
    elseif redis.call('EXISTS', ns .. 'tag:') == 1 then
        note(ns .. 'tag:', (soft and 'soft' or 'hard') .. prefix, serial .. ' ' .. whole(now))
    end
end

local id
last()
for at = 2, #ARGV, 4 do
    local kind, name, soft = ARGV[at], ARGV[at + 1], ARGV[at + 2] == '1'
    local serial = next_serial()
    if kind == 'key' then
        purge_key(name, soft, ARGV[at + 3])
    elseif kind == 'tag' then
        purge_tag(name, soft, serial)
    else
        purge_prefix(name, soft, serial)
    end
    id = redis.call('XADD', ns .. 'purges', 'MAXLEN', '~', {ENTRIES_KEPT}, '*', 'by', ARGV[1], 'is', kind,
                    'name', name, 'soft', ARGV[at + 2])
end
return id
"""
)

#: ARGV: keys.  Carries out on them what purges by prefix, and soft ones, have left to do.
SWEEP = (
    _COMMON
    + """
for _, key in ipairs(ARGV) do
    live(key, true)
end
"""
)

#: ARGV: for each: "hard" or "soft" and a prefix, serial and moment.  Of all values none is left that these mean.
SWEPT = (
    _COMMON
    + """
for at = 1, #ARGV, 2 do
    if redis.call('HGET', ns .. 'tag:', ARGV[at]) == ARGV[at + 1] then
        redis.call('HDEL', ns .. 'tag:', ARGV[at])
    end
end
"""
)

SCRIPTS = (LAST, READ, ASK, PUT, RELEASE, PURGE, SWEEP, SWEPT)


def sha(script: str) -> str:
    """What EVALSHA takes."""
    return sha1(script.encode(), usedforsecurity=False).hexdigest()
