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

Keys are made in the scripts (`redis_scripts`), from tags too, so this is not for a Redis Cluster.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from scalekit.cache.purges import Kind

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
