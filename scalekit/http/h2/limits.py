"""What one HTTP/2 connection may take."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024

#: What is sent of a stream's body before its receiver has taken any: 256 KiB fill a line of 20 Mbit/s at 100 ms.
STREAM_WINDOW = 256 * KIB
#: For all streams of a connection together: so much memory can one client make us hold for app servers that are slow.
CONNECTION_WINDOW = 1024 * KIB

#: As `STREAM_WINDOW`, of answers from an app server, which is near: what a client that does not read holds in memory.
UPSTREAM_STREAM_WINDOW = 128 * KIB
#: Bounded by its streams' windows only: with one of its own, a few clients that do not read would hold up all others
#: whose answers share the connection (Go's client takes 1 GiB for this).
UPSTREAM_CONNECTION_WINDOW = 2**31 - 1

#: The decoded size, by RFC 9113's count of 32 bytes a field more, above which a head is not even kept.  Between what
#: HTTP/1.1 may send (`scalekit.http.limits`) and this the stream gets 431; beyond it the connection ends, since the
#: compression state could only be kept by decoding on (CVE-2016-6581, the HPACK bomb).
HEADER_LIST_BYTES = 64 * KIB
HEADER_COUNT = 256
#: Frames that a head may be cut into; 32 KiB need two (CVE-2024-24549 and its kin were endless ones).
CONTINUATIONS = 8
#: PINGs and SETTINGS whose acknowledgements wait for a client that does not read (CVE-2019-9512, CVE-2019-9515).
OUTBOUND_ACKS = 100
#: Settings in one frame: there are eight.
SETTINGS_ENTRIES = 32


@dataclass(frozen=True)
class Limits:
    """
    Of a server's connections.

    :ivar streams: open at once (RFC 9113 recommends no fewer than 100; nginx and HAProxy have 128 and 100).
    :ivar resets: ``(burst, a second)``: streams that end before their answer has begun, by the client's reset or by an
        error that the client provokes.  Each may have cost an app server a request (CVE-2023-44487, CVE-2025-8671).
    :ivar controls: the same for SETTINGS and PING (a gRPC client that measures its bandwidth pings a few times a
        second).
    :ivar empties: the same for DATA frames without a byte that do not end their stream (CVE-2019-9518).
    :ivar updates: the same for WINDOW_UPDATE; on top, one for each KiB that was sent: Go's client opens two windows
        for 4 KiB that it has read.
    :ivar useless_bytes: that may come in a row without a request or a byte of a body in them: PRIORITY and unknown
        frames are read and forgotten.
    """

    streams: int = 100
    resets: tuple[int, int] = (100, 10)
    controls: tuple[int, int] = (100, 10)
    empties: tuple[int, int] = (100, 10)
    updates: tuple[int, int] = (1000, 100)
    useless_bytes: int = 256 * KIB

    def times(self, factor: int) -> Limits:
        """The same with so many times the resets: for peers that carry many clients' streams."""
        burst, rate = self.resets
        return Limits(
            self.streams,
            (burst * factor, rate * factor),
            self.controls,
            self.empties,
            self.updates,
            self.useless_bytes,
        )
