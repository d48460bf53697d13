"""
Sessions of people who have shown their token once: what the cookie of a page off this machine says; pure.

Nothing is kept of a session.  Its cookie is ``expiry.id.signature``, and the signature is over the token that it was
begun with as well: a token that is taken out of the token file takes its sessions with it.  It is over the client's
address, too, since a cookie goes to every port of its host, app servers behind the public one among them.  The key
lives as long as the process, and so do the ids of those that were ended before their time.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable

from scalekit.config.tokens import Grant, Tokens

#: A working day: who is at it in the morning need not look up the token again in the evening.
SESSION_SECONDS = 8 * 3600.0
#: Ended ones that are remembered until their time is over; each was begun with a token.  Beyond it all others end too.
MOST_ENDED = 1024

_VALUE = re.compile(rb"([0-9]{1,12})\.([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})")


class Sessions:
    """
    :param random_bytes: such as `os.urandom`.

    ``now`` is in seconds of a clock of this process.
    """

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._key = random_bytes(32)
        self._ended: dict[bytes, float] = {}

    def begin(self, token: bytes, address: str, now: float) -> bytes:
        """The cookie's value for whoever has shown this token, from this address."""
        expiry = b"%d" % (now + SESSION_SECONDS)
        id = urlsafe_b64encode(self._random_bytes(16)).rstrip(b"=")
        return b"%b.%b.%b" % (expiry, id, self._signature(token, address, expiry, id))

    def grant(self, value: bytes, tokens: Tokens, address: str, now: float) -> Grant | None:
        """What the token of this session allows; None if it is over, another's, or none of ours."""
        parts = _VALUE.fullmatch(value)
        if parts is None:
            return None
        expiry, id, signature = parts.groups()
        if int(expiry) <= now or id in self._ended:
            return None
        return tokens.grant_where(
            lambda token: hmac.compare_digest(self._signature(token, address, expiry, id), signature)
        )

    def end(self, value: bytes, tokens: Tokens, address: str, now: float) -> bool:
        """End it before its time; whether it was one."""
        if self.grant(value, tokens, address, now) is None:
            return False
        self._ended = {id: expiry for id, expiry in self._ended.items() if expiry > now}
        if len(self._ended) >= MOST_ENDED:
            self._key = self._random_bytes(32)
            self._ended.clear()
        else:
            expiry, id, _ = value.split(b".")
            self._ended[id] = float(expiry)
        return True

    def _signature(self, token: bytes, address: str, expiry: bytes, id: bytes) -> bytes:
        signed = b"\0".join((token, address.encode("utf-8", "replace"), expiry, id))
        return urlsafe_b64encode(hmac.digest(self._key, signed, "sha256")).rstrip(b"=")

    def __repr__(self) -> str:
        return f"<Sessions, {len(self._ended)} ended>"
