"""
How a value is looked for, made and kept, with leases: what to do next, without doing it.

`finding` is a generator of commands; who carries them out (`scalekit.kit.decorating`: a thread, or Twisted) sends back
what came of each.  In words: ask the cache.  Fresh, or stale while somebody else makes it: take that.  With a lease:
make it, and store it under the lease; if it cannot be made, give the lease back, and take what is stale, if anything.
Somebody else makes it: wait, a second at a time, so that a cache that dies meanwhile costs no more than that.  No
cache, or no patience any more: make it, and keep it for oneself, since nobody would know of a purge.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

WAIT_SECONDS = 1


class Look(NamedTuple):
    """
    Ask the cache; answered with a `Looked`, or None if there is no cache.

    :ivar lease_seconds: for which a lease is wanted if nothing fresh is there; 0: none is.
    :ivar wait_seconds: for which to wait if somebody else makes it.
    :ivar takes_stale: whether anything is better than nothing.
    """

    key: str
    lease_seconds: int = 0
    wait_seconds: int = 0
    takes_stale: bool = False

    @property
    def waiting(self) -> Look:
        """The look that follows where somebody else makes it."""
        return self._replace(wait_seconds=WAIT_SECONDS)


class Looked(NamedTuple):
    """
    :ivar value: fresh or stale; None: nothing.
    :ivar lease: the token of the one who is to make it; empty: nobody, or somebody else.
    :ivar is_unkept: whether nobody makes it for others, as its values cannot be kept.
    """

    value: bytes | None
    lease: str = ""
    is_unkept: bool = False

    @property
    def is_awaited(self) -> bool:
        """Whether somebody else makes it."""
        return self.value is None and not self.lease and not self.is_unkept


class Build(NamedTuple):
    """Make it; answered with `Built`, or thrown what it raised."""


class Built(NamedTuple):
    value: Any


class Keep(NamedTuple):
    """Store it; answered with None, whatever came of it, or thrown what making bytes of it raised."""

    key: str
    built: Built
    lease: str


class GiveBack(NamedTuple):
    """Let the next one try; answered with None."""

    lease: str


Command = Look | Build | Keep | GiveBack
Finding = Generator[Command, Any, bytes | Built]


def finding(key: str, lease_seconds: int, wait_seconds: int, is_error_covered: bool) -> Finding:
    """
    :param lease_seconds: how long making it usually takes, at most.
    :param wait_seconds: for which to wait for somebody else.
    :param is_error_covered: whether it was stored with ``stale-if-error``.
    :return: what the cache held, or what was made.
    """
    looked: Looked | None = yield Look(key, lease_seconds)
    waited = 0
    while looked is not None and looked.is_awaited and waited < wait_seconds:
        waited += WAIT_SECONDS
        looked = yield Look(key, lease_seconds).waiting
    if looked is not None and looked.value is not None and not looked.lease:
        return looked.value
    try:
        built: Built = yield Build()
    except Exception:
        if looked is None:
            raise
        if looked.lease:
            yield GiveBack(looked.lease)
        if looked.value is None and is_error_covered:
            looked = yield Look(key, takes_stale=True)
        if looked is None or looked.value is None:
            raise
        return looked.value
    if looked is not None and looked.lease:
        try:
            yield Keep(key, built, looked.lease)
        except Exception:  # no bytes can be made of it
            yield GiveBack(looked.lease)
            raise
    return built
