"""
How a server of gRPC is asked whether it is well: by gRPC's own health checking, since it knows no GET.

https://github.com/grpc/grpc/blob/master/doc/health-checking.md; the framing of messages and the place of grpc-status
are in https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scalekit.balancer.health import HealthRules
from scalekit.balancer.instance import Instance
from scalekit.balancer.prober import PingAnswer
from scalekit.http.heads import RequestHead, values_of

#: An uncompressed message of no bytes: a HealthCheckRequest for the server as a whole.
CHECK_BODY = bytes(5)
#: A HealthCheckResponse whose status is SERVING.
_SERVING = b"\0\0\0\0\2\x08\1"
_OK, _UNIMPLEMENTED = b"0", b"12"


def check_head(instance: Instance) -> RequestHead:
    """The request that goes before `CHECK_BODY`."""
    return RequestHead(
        b"POST",
        b"/grpc.health.v1.Health/Check",
        [(b"User-Agent", b"scalekit-prober"), (b"Content-Type", b"application/grpc"), (b"TE", b"trailers")],
        host=instance.authority.encode("ascii"),
    )


class HealthAnswer(PingAnswer):
    """
    What comes back for a `check_head`.

    :param well: the status that is well.
    :ivar status: a Deferred that fires with that if it serves, or does not know of health checking, else with 503; and
        with 0 if no gRPC is spoken there.
    """

    _code = b""
    _message = b""

    def __init__(self, cut: Callable[[], None], well: int) -> None:
        super().__init__(cut, HealthRules(status=well))

    def began(self, head: Any) -> None:
        self._code = b"".join(values_of(head.fields, b"grpc-status"))

    def data(self, piece: bytes) -> None:
        super().data(piece)
        self._message = (self._message + piece)[: len(_SERVING)]

    def ended(self, trailers: list[tuple[bytes, bytes]]) -> None:
        code = b"".join(values_of(trailers, b"grpc-status")) or self._code
        is_well = code == _UNIMPLEMENTED or (code == _OK and self._message == _SERVING)
        self._status = self._rules.status or 200 if is_well else 503 if code else 0
        super().ended(trailers)
