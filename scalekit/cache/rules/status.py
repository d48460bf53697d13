"""
The member of ``Cache-Status`` that is ours (RFC 9211), as bytes like ``scalekit; hit; ttl=30``.
"""

from __future__ import annotations

from scalekit.cache.rules.stored import Stored

FIELD = b"Cache-Status"


def hit(name: bytes, stored: Stored, now: float) -> bytes:
    """
    Of an answer out of the store: how long it stays fresh, or, negative, for how long it is stale (section 2.5).

    :param name: ours, a token, as in Via.
    """
    return b"%b; hit; ttl=%d" % (name, int(stored.born + stored.lifetime - now))


def forwarded(
    name: bytes,
    reason: bytes,
    status: int | None = None,
    ttl: float | None = None,
    is_stored: bool = False,
    is_collapsed: bool = False,
    detail: str = "",
) -> bytes:
    """
    Of an answer for which the origin was asked.

    :param reason: see `scalekit.cache.rules.reuse.Reuse`, or ``bypass``, ``method``.
    :param status: the origin's, where the client gets another (section 2.3).
    :param ttl: seconds for which it is fresh, where it is stored.
    :param is_collapsed: the origin was asked once for this and other requests (section 2.6).
    :param detail: see `scalekit.cache.rules.storing.Refusal`.
    """
    said = [name, b"fwd=" + reason]
    if status is not None:
        said.append(b"fwd-status=%d" % status)
    if ttl is not None:
        said.append(b"ttl=%d" % int(ttl))
    if is_stored:
        said.append(b"stored")
    if is_collapsed:
        said.append(b"collapsed")
    if detail:
        said.append(b'detail="%b"' % detail.encode("ascii", "replace"))
    return b"; ".join(said)
