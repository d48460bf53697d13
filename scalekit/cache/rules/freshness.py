"""
For how long an answer is fresh, and how old it is (RFC 9111 section 4.2).
"""

from __future__ import annotations

from scalekit.cache.rules.fields import LONGEST, Directives, Values, age, http_date, seconds

#: The fields that are looked at here.
TIMES = frozenset((b"age", b"date", b"expires", b"last-modified"))

#: Whose answers may be kept by a guess (RFC 9110 section 15.1); others only where they say ``public``.
HEURISTIC = frozenset((200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501))
#: A guess is the tenth part of what has passed since the last change (section 4.2.2) ...
_HEURISTIC_SHARE = 0.1
#: ... but a day at most, which is what Apache and Squid (three days) and browsers have as a bound of that kind.
_LONGEST_GUESS = 86_400.0


def lifetime(found: Values, said: Directives, is_targeted: bool, received_at: float) -> float | None:
    """
    Seconds for which an answer is fresh from its making on; None if it says nothing of that.

    s-maxage, then max-age, then Expires less Date (section 4.2.1); what cannot be read is stale: 0.

    :param said: its directives; with ``is_targeted`` Expires does not count, see `targeted`.
    """
    for name in (b"s-maxage", b"max-age"):
        if name in said:
            return float(seconds(said[name]) or 0)
    if is_targeted:
        return None
    date = http_date(found[b"date"][0]) if b"date" in found else None
    if b"expires" in found:
        expires = found[b"expires"]
        # Of several the first counts or it is stale (section 4.2.1); of two that differ, it is.
        until = http_date(expires[0]) if len(set(expires)) == 1 else None
        return 0.0 if until is None else min(max(0.0, until - (received_at if date is None else date)), float(LONGEST))
    return None


def guess(status: int, found: Values, said: Directives, is_targeted: bool, received_at: float) -> float | None:
    """Seconds for which an answer that does not say it may be fresh; None if nothing may be guessed (section 4.2.2)."""
    if is_targeted or (status not in HEURISTIC and b"public" not in said):
        return None
    date = http_date(found[b"date"][0]) if b"date" in found else None
    changed = found.get(b"last-modified", ())
    since = http_date(changed[0]) if len(changed) == 1 else None
    if since is None:
        return None
    passed = (received_at if date is None else date) - since
    return min(passed * _HEURISTIC_SHARE, _LONGEST_GUESS) if passed > 0 else None


def age_on_arrival(found: Values, requested_at: float, received_at: float) -> float:
    """
    How old an answer is when it comes (section 4.2.3), in seconds: by its Age, or by its Date if that is longer ago.
    """
    date = http_date(found[b"date"][0]) if b"date" in found else None
    apparent = 0.0 if date is None else max(0.0, received_at - date)
    return max(apparent, age(found.get(b"age", [])) + max(0.0, received_at - requested_at))
