"""
Faults, told apart by whose they are.

A fault is raised or handed on as a value; the wire turns it into one well-formed answer (RFC 9457 problem details) or,
once an answer has begun, into an abort that the other side can notice.

`ClientFault` is a 4xx (and 505): what the client sent is wrong.  `UpstreamFault` is a 502, 503 or 504: an app server
failed us.  `OurFault` is a 500 or 501: scalekit itself is wrong, or cannot do this here.  `ConfigurationFault` ends the
start of a daemon with one line.
"""

from __future__ import annotations


class Fault(Exception):
    """
    What went wrong, for the answer, the access log and the metrics.

    :ivar status: the HTTP status code this fault is answered with.
    :ivar reason: a short token for machines, such as ``bad-host`` or ``connect-refused``.
    :ivar detail: one sentence for people.
    :ivar retry_after: seconds after which it is worth another try; None: nobody knows.
    """

    def __init__(self, status: int, reason: str, detail: str, retry_after: int | None = None) -> None:
        super().__init__(status, reason, detail)
        self.retry_after = retry_after
        self.status = status
        self.reason = reason
        self.detail = detail

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status} {self.reason}: {self.detail}>"

    __str__ = __repr__


class ClientFault(Fault):
    """The client's fault: 4xx, or 505."""


class UpstreamFault(Fault):
    """The app server's fault: 502, 503 or 504."""


class OurFault(Fault):
    """Ours: 500, or 501 for what cannot be done in this place."""


class ConfigurationFault(Exception):
    """A wrong configuration; ``str()`` is the one line to show: ``file: key: found …, expected …``."""
