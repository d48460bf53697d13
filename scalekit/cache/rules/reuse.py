"""
What a request gets from what is stored (RFC 9111 section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from scalekit.cache.rules.asking import Asked
from scalekit.cache.rules.stale import covers_refresh, covers_request
from scalekit.cache.rules.stored import Stored


class Verdict(Enum):
    """What is to be done."""

    FRESH = "answer with it"
    STALE = "answer with it, and refresh it behind"
    VALIDATE = "ask the origin whether it is still good"
    MISS = "ask the origin"
    UNAVAILABLE = "answer 504: it wants nobody asked"


class Reuse(NamedTuple):
    """
    :ivar stored: what to answer with, or to validate; None for a miss.
    :ivar forwarded: why the origin is asked, as ``fwd`` of Cache-Status says it; empty if it is not.
    """

    verdict: Verdict
    stored: Stored | None = None
    forwarded: bytes = b""


def fresh_hit(variants: Sequence[Stored], asked: Asked, now: float) -> Stored | None:
    """The answer to a plain request, if what is newest for it is fresh; None: ask `plan_reuse`."""
    if asked.is_plain:
        for stored in variants:
            if stored.serves(asked):
                return stored if now < stored.fresh_until else None
    return None


def plan_reuse(variants: Sequence[Stored], asked: Asked, now: float) -> Reuse:
    """
    :param variants: what lies under its key, newest first: the first that suits is the most recent (section 4.1).
    """
    if not asked.is_lookup:
        return Reuse(Verdict.MISS, None, b"method")
    if b"if-match" in asked.conditions or b"if-unmodified-since" in asked.conditions:
        # They are for the origin to judge: a cache never does (RFC 9111 section 4.3.2).
        return _forwarding(asked, Reuse(Verdict.MISS, None, b"request"))
    stored = next((one for one in variants if one.serves(asked)), None)
    if stored is None:
        return _forwarding(asked, Reuse(Verdict.MISS, None, b"vary-miss" if variants else b"uri-miss"))
    if asked.no_cache or not _is_young_enough(stored, asked, now):
        return _forwarding(asked, Reuse(Verdict.VALIDATE, stored, b"request"))
    if now < stored.fresh_until:
        if asked.min_fresh is None or stored.fresh_until - now >= asked.min_fresh:
            return Reuse(Verdict.FRESH, stored)
        return _forwarding(asked, Reuse(Verdict.VALIDATE, stored, b"request"))
    if covers_request(stored, asked, now):
        return Reuse(Verdict.FRESH, stored)
    if (
        asked.head.method == b"GET"
        and asked.min_fresh is None
        and asked.max_age is None
        and covers_refresh(stored, now)
    ):
        return Reuse(Verdict.STALE, stored, b"stale")
    return _forwarding(asked, Reuse(Verdict.VALIDATE, stored, b"stale"))


def _is_young_enough(stored: Stored, asked: Asked, now: float) -> bool:
    return asked.max_age is None or now - stored.born <= asked.max_age + (asked.max_stale or 0)


def _forwarding(asked: Asked, reuse: Reuse) -> Reuse:
    """The same, unless the request wants nobody asked (section 5.2.1.7)."""
    return Reuse(Verdict.UNAVAILABLE, reuse.stored, b"") if asked.only_if_cached else reuse
