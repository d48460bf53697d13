"""What is kept of an answer, with everything computed that a later request is held against."""

from __future__ import annotations

from scalekit.cache.rules.asking import Asked
from scalekit.cache.rules.vary import Variant, variant_of
from scalekit.http.heads import Fields, RequestHead


class Stored:
    """
    A stored answer without its body; it never changes, a 304 makes another.  Moments are seconds since the epoch.

    :ivar status: with ``reason`` and ``fields`` what is answered; the fields are without Age.
    :ivar born: its age is ``now - born``.
    :ivar fresh_until: from then on it is stale; the beginning of time for one that is to be validated each time.
    :ivar revalidates_until: until then it may be answered with while it is refreshed (RFC 5861 section 3);
        ``fails_until``: where the origin has answered with an error (section 4); ``lost_until``: where no answer came.
        None of them is before ``fresh_until``.
    :ivar leaves: from then on keeping it is of no use.
    :ivar lifetime: seconds from ``born`` to ``fresh_until``, before no-cache.
    :ivar is_implicit: it does not say that it may be kept, which is allowed all the same; not for users that the app
        knows, though.
    :ivar must_validate: it said no-cache; ``must_revalidate``: it is never to be used stale.
    :ivar etag: and ``last_modified``, ``date``: those fields as they came, empty if it has none.
    :ivar names: the fields that Vary nominates, and ``variant`` their values in the request that it answered.
    :ivar tags: what it can be purged by: its Cache-Groups and Surrogate-Keys, and each group once more with its origin
        in front (`scalekit.cache.rules.key.scoped`), since that is how far a group reaches.
    """

    __slots__ = (
        "born",
        "date",
        "etag",
        "fails_until",
        "fields",
        "fresh_until",
        "is_implicit",
        "last_modified",
        "leaves",
        "lifetime",
        "lost_until",
        "must_revalidate",
        "must_validate",
        "names",
        "reason",
        "received_at",
        "revalidates_until",
        "status",
        "tags",
        "variant",
    )

    def __init__(
        self,
        status: int,
        reason: bytes,
        fields: Fields,
        received_at: float,
        *,
        age: float = 0.0,
        lifetime: float = 0.0,
        is_implicit: bool = False,
        must_validate: bool = False,
        must_revalidate: bool = False,
        while_revalidating: float = 0.0,
        if_error: float = 0.0,
        if_lost: float = 0.0,
        keeps: float = 0.0,
        names: tuple[bytes, ...] = (),
        variant: Variant = (),
        tags: tuple[bytes, ...] = (),
    ) -> None:
        self.status = status
        self.reason = reason
        self.fields = fields
        self.received_at = received_at
        self.born = received_at - age
        self.lifetime = lifetime
        self.is_implicit = is_implicit
        self.must_validate = must_validate
        self.must_revalidate = must_revalidate
        fresh_until = self.born + lifetime
        self.fresh_until = float("-inf") if must_validate else fresh_until
        usable = not (must_validate or must_revalidate)
        self.revalidates_until = fresh_until + while_revalidating if usable else self.fresh_until
        self.fails_until = fresh_until + if_error if usable else self.fresh_until
        self.lost_until = max(fresh_until + if_lost, self.fails_until) if usable else self.fresh_until
        self.leaves = max(fresh_until, self.revalidates_until, self.lost_until, received_at + keeps)
        self.names = names
        self.variant = variant
        self.tags = tags
        self.etag = self.last_modified = self.date = b""
        for raw, value in fields:
            name = raw.lower()
            if name == b"etag":
                self.etag = value
            elif name == b"last-modified":
                self.last_modified = value
            elif name == b"date":
                self.date = value

    def serves(self, asked: Asked) -> bool:
        """Whether it may be chosen for this request at all, one of its key."""
        return self.suits(asked.head) and not (self.is_implicit and asked.has_cookie)

    def suits(self, head: RequestHead) -> bool:
        """Whether it is for this request, which is one of its key (RFC 9111 section 4.1)."""
        return not self.names or variant_of(self.names, head.fields) == self.variant

    def age(self, now: float) -> int:
        """Its age in whole seconds, as Age says it."""
        return max(0, int(now - self.born))

    def __repr__(self) -> str:
        vary = f" for {self.variant}" if self.names else ""
        return f"<Stored {self.status} born {self.born:g}, fresh until {self.fresh_until:g}{vary}>"
