"""
What stands in Redis, so that balancers share their registrations; no socket and no clock.

===============================  ======================================================================================
key                              holds
===============================  ======================================================================================
``scalekit:1:services``          a set: the services that have a hash
``scalekit:1:service:NAME``      a hash: id -> stamp and JSON of a `Remembered`
``scalekit:1:leases:NAME``       a sorted set: id, scored by when its lease ends, in milliseconds of Redis' own clock
``scalekit:1:changes``           a capped stream; fields ``by`` (a run of a balancer), ``service``, ``id``, ``stamp``,
                                 and ``is``: ``put``, or ``renewed`` where nothing but the lease is new
===============================  ======================================================================================

A stamp is 20 digits: the generation, then 0 for one that is registered or 1 for one that was drained; a record is
replaced only by one whose stamp is not lower.  Generation 0, the tutorial's, cannot tell who is later: there, what an
app says itself replaces anything, and what a balancer repeats replaces nothing.

Keys are made from the names of services, so this is not for a Redis Cluster.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from scalekit.balancer.generations import RETIRED_SECONDS
from scalekit.balancer.instance import Instance, State
from scalekit.balancer.judging import FORGET_LAPSED_SECONDS
from scalekit.balancer.registering import WEIGHTS
from scalekit.balancer.snapshot import Remembered, remembered
from scalekit.config.kinds import is_service_name

SERVICES = "scalekit:1:services"
CHANGES = "scalekit:1:changes"

#: Of the stream. A reader that is so far behind was away, and reads everything anew; 200 bytes each.
CHANGES_KEPT = 4000

# KEYS: services, hash, leases, changes. ARGV: service, id, stamp, record, milliseconds to keep it, "say" or "keep", by.
# Returns an empty string when it was taken, else what is there.
PUT = f"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('HGET', KEYS[2], ARGV[2])
local said = ARGV[6] == 'say'
local is = 'put'
if held then
    local stamp = string.sub(held, 1, 20)
    local timeless = said and string.sub(stamp, 1, 19) == string.sub(ARGV[3], 1, 19) and tonumber(stamp) < 2
    if stamp > ARGV[3] and not timeless then
        return held
    end
    if stamp == ARGV[3] and not said then
        is = 'renewed'
    end
end
if is == 'put' then
    redis.call('HSET', KEYS[2], ARGV[2], ARGV[3] .. ARGV[4])
    redis.call('SADD', KEYS[1], ARGV[1])
end
redis.call('ZADD', KEYS[3], now + ARGV[5], ARGV[2])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', '{CHANGES_KEPT}', '*',
           'by', ARGV[7], 'service', ARGV[1], 'id', ARGV[2], 'stamp', ARGV[3], 'is', is)
return ''
"""

# KEYS: services, hash, leases. ARGV: service. Returns lines "milliseconds-left stamp-and-record", without those whose
# lease was over a minute ago; those go, a thousand at a time, which keeps Redis busy for a millisecond.
READ = f"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local over = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now - {FORGET_LAPSED_SECONDS * 1000:.0f}, 'LIMIT', 0, 1000)
for _, id in ipairs(over) do
    redis.call('HDEL', KEYS[2], id)
    redis.call('ZREM', KEYS[3], id)
end
local lines = {{}}
local held = redis.call('HGETALL', KEYS[2])
for at = 1, #held, 2 do
    local ends = redis.call('ZSCORE', KEYS[3], held[at]) or now
    lines[#lines + 1] = string.format('%d ', ends - now) .. held[at + 1]
end
if #lines == 0 then
    redis.call('SREM', KEYS[1], ARGV[1])
end
return table.concat(lines, '\\n')
"""


class Record(NamedTuple):
    """
    What Redis holds of an instance.

    :ivar is_drained: whether this generation, and those before it, may not come back.
    :ivar seconds_left: of its lease; 0 or less: it has missed it.
    """

    one: Remembered
    is_drained: bool
    seconds_left: float

    @property
    def stamp(self) -> str:
        return stamp_of(self.one.generation, self.is_drained)


class Saying(NamedTuple):
    """
    What Redis is to be told of an instance.

    :ivar is_news: whether an app or an operator has said it just now; else it is only repeated.
    """

    service: str
    id: str
    stamp: str
    record: bytes
    keep_seconds: float
    is_news: bool

    def arguments(self, by: str) -> tuple[str | bytes | int, ...]:
        """Of EVAL."""
        keys = (SERVICES, hash_of(self.service), leases_of(self.service), CHANGES)
        mode, milliseconds = "say" if self.is_news else "keep", round(self.keep_seconds * 1000)
        return (PUT, len(keys), *keys, self.service, self.id, self.stamp, self.record, milliseconds, mode, by)


def hash_of(service: str) -> str:
    """The key of a service's hash."""
    return f"scalekit:1:service:{service}"


def leases_of(service: str) -> str:
    """The key of its leases."""
    return f"scalekit:1:leases:{service}"


def read_arguments(service: str) -> tuple[str | int, ...]:
    """Of EVAL, for everything of a service."""
    return (READ, 3, SERVICES, hash_of(service), leases_of(service), service)


def stamp_of(generation: int, is_drained: bool) -> str:
    """20 digits; text that is compared, since numbers in Lua are exact to 2**53 only."""
    return f"{generation:019d}{int(is_drained)}"


def record_of(instance: Instance) -> Remembered:
    """What all balancers know of an instance: its health, and that it consents, each finds out for itself."""
    record = remembered(instance)
    record.was_well, record.has_consented = False, not record.secret
    return record


def saying_of(
    instance: Instance, is_drained: bool = False, is_news: bool = True, keep_seconds: float | None = None
) -> Saying:
    """
    What there is to tell of an instance.

    :param keep_seconds: what is left of its lease; None: all of it.
    """
    if is_drained or instance.lease_seconds is None:
        keep_seconds = RETIRED_SECONDS
    elif keep_seconds is None:
        keep_seconds = instance.lease_seconds
    stamp = stamp_of(instance.generation, is_drained)
    return Saying(instance.service, instance.id, stamp, msgspec.json.encode(record_of(instance)), keep_seconds, is_news)


def read_record(held: bytes, seconds_left: float) -> Record:
    """
    A value of a hash.

    :raises ValueError: it is none, or says what no registration may; addresses are judged elsewhere.
    """
    stamp = held[:20].decode("latin-1")
    one = msgspec.json.decode(held[20:], type=Remembered)
    record = Record(one, stamp[-1:] == "1", seconds_left)
    if record.stamp != stamp:
        raise ValueError(f"stamp {stamp} found, {record.stamp} expected")
    is_sound = (
        is_service_name(one.service)
        and 0 < len(one.id) <= 128
        and one.id.isascii()
        and one.id.isprintable()
        and one.scheme in ("http", "https", "h2c")
        and 1 <= one.port <= 65535
        and one.weight in WEIGHTS
        and (one.generation > 0) is (one.lease_seconds is not None)
    )
    if not is_sound:
        raise ValueError(f"{one} is no registration")
    return record


def read_lines(lines: bytes) -> list[tuple[bytes, float]]:
    """What `READ` returns: values for `read_record`, and the seconds left of each."""
    found = []
    for line in lines.split(b"\n") if lines else ():
        milliseconds, _, held = line.partition(b" ")
        found.append((held, int(milliseconds) / 1000))
    return found


def is_worth_repeating(instance: Instance) -> bool:
    """Whether a Redis that has lost an instance should hear of it from us: not if it is dead as far as we know."""
    return not instance.has_lapsed if instance.lease_seconds is not None else instance.state is not State.DOWN
