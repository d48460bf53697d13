"""
What stands in Redis, so that caches share their values; no socket and no clock.

=========================  ============================================================================================
key, after its namespace   holds
=========================  ============================================================================================
``value:KEY``              a hash: value, etag, stored, expires, revalidates, leaves (milliseconds of Redis' own clock),
                           serial, and its tags, a line "GENERATION NAME" each; gone when it leaves (PEXPIRE)
``tag:NAME``               a hash: ``now``, its generation; and for each generation that a soft purge has ended, when.
                           Lives as long as the longest of its values
``tag:``                   the same for a tag that all bear; also "hard" or "soft" and a prefix -> serial and moment of
                           its latest purge
``serial``                 the latest number of a generation, a value or a purge
``lease:DIGEST``           who makes the value of a key: token, id of the latest purge, key (SET NX PX)
``purges``                 a capped stream, an entry for each name that was purged: ``by`` (a run of a cache), ``is``,
                           ``name``, ``soft``; never empty, so that a reader finds the entry that it has read last
``stores``                 a capped stream: ``by``, ``is`` (``stored`` or ``released``), ``key``
=========================  ============================================================================================

A purge by tag removes the tag's row: values that bear the old generation count as gone from then on, and leave when
they are read, or by PEXPIRE.  So whatever Redis may evict, a value is lost and none comes back.  Purges by prefix are
noted, held against every value that is read, and forgotten once somebody has looked through all of them.

Keys are made in the scripts, from tags too, so this is not for a Redis Cluster.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b, sha1
from typing import NamedTuple

from scalekit.cache.purges import Kind, Purges, Verdict

#: Of each stream.  A name has a kilobyte at most: 10 MB.  A reader that is further behind has seen nothing for long.
ENTRIES_KEPT = 10_000
#: Soft purges of one tag, or purges by prefix, that are told apart; with one more all that they could mean is gone.
#: Each read is held against those by prefix.
MOST_TOLD_APART = 64
#: Purges that came while a value was made; with more it is not stored.
MOST_SINCE = 1000

_COMMON = """
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
                    return true
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

local function read(key)
    local name, expires, revalidates, leaves = live(key)
    if not name then
        return {}, 0
    end
    local held = redis.call('HMGET', name, 'value', 'stored', 'tags')
    return {held[1], held[2], whole(expires), whole(revalidates), whole(leaves), held[3], whole(now)}, expires
end
"""

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
if redis.call('SET', lease, ARGV[3] .. ' ' .. last() .. ' ' .. ARGV[1], 'NX', 'PX', ARGV[4]) then
    return {1, tonumber(ARGV[4]), found}
end
return {0, redis.call('PTTL', lease), found}
"""
)

#: ARGV: key, digest, token or nothing, id of the purge that it was begun after (nothing: that of the lease), run, value
#: and its etag, milliseconds of max-age, of stale-while-revalidate, of stale-if-error, the etag that must be there, or
#: "*", tags with a line feed after each.  What came of it; "behind" with the purges from that id on.
PUT = (
    _COMMON
    + f"""
local key, token, since = ARGV[1], ARGV[3], ARGV[4]
local lease = ns .. 'lease:' .. ARGV[2]
if token ~= '' then
    local held, begun, of = string.match(redis.call('GET', lease) or '', '^(%S+) (%S+) (.*)$')
    if held ~= token or of ~= key then
        return {{'purged'}}
    end
    if since == '' then
        since = begun
    end
end
if last() ~= since then
    return {{'behind', since, redis.call('XRANGE', ns .. 'purges', since, '+', 'COUNT', {MOST_SINCE + 1})}}
end
local there = live(key)
if ARGV[11] ~= '*' and ARGV[11] ~= (there and redis.call('HGET', there, 'etag') or '') then
    return {{'unmatched'}}
end
local expires = now + ARGV[8]
local leaves = expires + math.max(ARGV[9], ARGV[10])
local tags = ''
for tag in string.gmatch(ARGV[12], '([^\\n]*)\\n') do
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
return {{there and 'replaced' or 'created'}}
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
_KINDS = {b"key": Kind.KEY, b"tag": Kind.TAG, b"prefix": Kind.PREFIX}
_NAMES = {kind: name for name, kind in _KINDS.items()}


class Purge(NamedTuple):
    """
    One name that is purged.

    :ivar name: an empty prefix means all.
    """

    kind: Kind
    name: bytes
    is_soft: bool = False


class Reply(NamedTuple):
    """What `READ` finds; the times are milliseconds of Redis' own clock, of which ``now`` is the present one."""

    value: bytes
    stored: int
    expires: int
    revalidates: int
    leaves: int
    tags: tuple[bytes, ...]
    now: int


def sha(script: str) -> str:
    """What EVALSHA takes."""
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


def digest_of(key: bytes) -> bytes:
    """Of a key, 16 letters; a lease's token begins with it, since who gives it back names no key."""
    return blake2b(key, digest_size=8).hexdigest().encode()


def reply_of(found: list[bytes]) -> Reply | None:
    """What `READ` has answered; None: there is nothing."""
    if not found:
        return None
    value, stored, expires, revalidates, leaves, tags, now = found
    names = (line.partition(b" ")[2] for line in tags.splitlines())
    return Reply(
        value, int(stored), int(expires), int(revalidates), int(leaves), tuple(name for name in names if name), int(now)
    )


def purge_arguments(purges: Iterable[Purge], run: bytes) -> list[bytes]:
    """What `PURGE` takes."""
    arguments = [run]
    for kind, name, is_soft in purges:
        digest = digest_of(name) if kind is Kind.KEY else b""
        arguments += [_NAMES[kind], name, b"1" if is_soft else b"0", digest]
    return arguments


def fields_of(pairs: list[bytes]) -> dict[bytes, bytes]:
    """The fields of an entry of a stream."""
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


def purge_of(fields: dict[bytes, bytes]) -> Purge | None:
    """The purge of an entry; None: it is none of ours."""
    kind = _KINDS.get(fields.get(b"is", b""))
    return None if kind is None else Purge(kind, fields.get(b"name", b""), fields.get(b"soft") == b"1")


def prefixes_of(states: list[bytes]) -> list[bytes]:
    """What `SWEPT` takes for all purges by prefix in the row ``tag:``."""
    pairs = zip(states[::2], states[1::2], strict=True)
    return [part for field, content in pairs if field[:4] in (b"hard", b"soft") for part in (field, content)]


def pattern_of(namespace: bytes, swept: list[bytes]) -> bytes:
    """What SCAN takes, for the values that these purges by prefix may mean."""
    prefixes = [field[4:] for field in swept[::2]]
    first, last = min(prefixes), max(prefixes)
    same = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    common = namespace + b"value:" + first[:same]
    return re.sub(rb"([][*?\\])", rb"\\\1", common) + b"*"


def verdict(key: bytes, tags: Iterable[bytes], since: bytes, entries: list[list[object]]) -> Verdict:
    """
    What the purges after one have made of a value.

    :param since: the id of that one.
    :param entries: of the stream, from it on; if it is not there, or these are too many, nobody knows, and it is gone.
    """
    if not entries or entries[0][0] != since or len(entries) > MOST_SINCE:
        return Verdict.GONE
    purges = Purges()
    for _, pairs in entries[1:]:
        assert isinstance(pairs, list)
        purge = purge_of(fields_of(pairs))
        if purge is not None:
            purges.note(purge.kind, purge.name, purge.is_soft, True)
    return purges.verdict(key, tags, 0)
