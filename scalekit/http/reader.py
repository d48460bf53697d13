"""
A connection's bytes, message after message: `RequestReader` on the server's side, `ResponseReader` on the client's.

Both are fed with whatever arrived and are then asked for a head, and for body pieces until the body is complete; what
follows belongs to the next message.  Where pieces are cut makes no difference.  A reader that has raised is finished.
"""

from __future__ import annotations

from scalekit.errors import ClientFault, UpstreamFault
from scalekit.http import diagnosis
from scalekit.http.bodies import ChunkedDecoder, CloseDecoder, Decoder, LengthDecoder
from scalekit.http.grammar import BARE_LF, REQUEST_LINE
from scalekit.http.heads import Fields, RequestHead, ResponseHead
from scalekit.http.limits import FIELD_COUNT, HEAD_BYTES, METHOD_BYTES, REQUEST_LINE_BYTES
from scalekit.http.requests import parse_request_head
from scalekit.http.responses import as_malformed, malformed, parse_response_head


class _Reader:
    """What both directions share: bytes not yet used, and the body under way."""

    __slots__ = ("_growing", "_is_quiet", "_quiet_until", "_searched", "decoder", "ready")

    def __init__(self) -> None:
        #: Bytes that wait for their head's end; only what comes in pieces gets here.
        self._growing = bytearray()
        self._searched = 0
        #: Up to which length a growing head is looked at only when a line ends; 0: look at every piece.
        self._quiet_until = 0
        #: Whether what has come since the last look cannot have changed what was found.
        self._is_quiet = False
        #: Bytes that wait for their turn.
        self.ready = b""
        self.decoder: Decoder | None = None

    @property
    def held_bytes(self) -> int:
        """How many bytes wait here."""
        return len(self._growing) + len(self.ready)

    @property
    def unread(self) -> bytes:
        """The bytes that wait here, also those of a head that was refused."""
        return bytes(self._growing) + self.ready

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        growing = self._growing
        if growing:
            growing += data
            # Whoever sends byte by byte makes thousands of these calls: they do next to nothing.
            self._is_quiet = len(growing) < self._quiet_until and b"\n" not in data
        elif self.ready:
            self.ready += data
        else:
            self.ready = data

    def _find_head(self) -> int:
        """The offset of CRLFCRLF in `ready`, or -1, and then the bytes are moved aside to grow."""
        if not self._growing:
            end = self.ready.find(b"\r\n\r\n")
            if end >= 0 or not self.ready:
                return end
            self._growing += self.ready
            self.ready = b""
            fresh = 0
        else:
            fresh = self._searched
            if len(self._growing) == fresh:
                return -1
            # Without an LF among the new bytes the head cannot have ended: byte by byte stays cheap.
            if self._growing.find(b"\n", fresh) < 0:
                self._searched = len(self._growing)
                self._check_growing(fresh, False)
                return -1
            end = self._growing.find(b"\r\n\r\n", max(0, fresh - 3))
            if end >= 0:
                self.ready = bytes(self._growing)
                self._growing.clear()
                self._searched = self._quiet_until = 0
                return end
        self._searched = len(self._growing)
        self._check_growing(fresh, self._growing.find(b"\n", fresh) >= 0)
        return -1

    def _check_growing(self, fresh: int, has_line: bool) -> None:
        raise NotImplementedError

    def read_body(self) -> bytes:
        """
        The body bytes among what arrived; empty when more is needed.  Ask `decoder`'s ``is_complete`` afterwards.

        :raises Fault: see the reader's class.
        """
        decoder = self.decoder
        if decoder is None or not self.ready:
            return b""
        data, self.ready = self.ready, b""
        piece = decoder.decode(data)
        if decoder.is_complete:
            self.ready = decoder.rest
        return piece


class RequestReader(_Reader):
    """
    Requests from a client.

    :raises ClientFault: from `read_head` and `read_body`.
    """

    __slots__ = ("_has_skipped", "_last", "_last_bytes", "_line_checked", "_lines")

    def __init__(self) -> None:
        super().__init__()
        #: Whether this head's empty line in front has been let pass.
        self._has_skipped = False
        self._line_checked = False
        #: How many lines of a growing head have come.
        self._lines = 0
        self._last: RequestHead | None = None
        self._last_bytes = b""

    def read_whole(self, data: bytes) -> RequestHead | None:
        """
        The head of a request without a body that is all there, and the same as the one before, as many are.

        :param data: instead of `feed`; where it is no such request it is to be fed: None is returned.
        """
        if data != self._last_bytes or self.ready or self._growing:
            return None
        self.decoder = None
        self._has_skipped = False
        return self._last

    def read_head(self) -> RequestHead | None:
        """The next request's head, or None until more has arrived; `decoder` is set if it has a body."""
        ready = self.ready
        if self._is_quiet or not (ready or self._growing):
            return None
        if not self._has_skipped:
            self._skip_empty_line()
        end = self._find_head()
        if end < 0:
            return None
        data = self.ready
        head = parse_request_head(data, end)
        self._line_checked = self._has_skipped = False
        self._lines = 0
        self.ready = data[end + 4 :]
        length = head.length
        if length == 0 and not self.ready:
            self._last, self._last_bytes = head, data
        if length == 0:
            self.decoder = None
        else:
            self.decoder = ChunkedDecoder() if length is None else LengthDecoder(length)
        return head

    def _skip_empty_line(self) -> None:
        """One empty line before a request line is let pass (RFC 9112 section 2.2), however it arrives."""
        if self.ready.startswith(b"\r\n"):
            self.ready = self.ready[2:]
            self._has_skipped = True
        elif self._growing.startswith(b"\r\n"):
            del self._growing[:2]
            self._searched = 0
            self._has_skipped = True

    def _check_growing(self, fresh: int, has_line: bool) -> None:
        growing = self._growing
        if len(growing) > HEAD_BYTES + 4:
            if growing.find(b"\n", 0, REQUEST_LINE_BYTES) < 0:
                raise ClientFault(414, "target-too-long", f"The request line is over {REQUEST_LINE_BYTES} bytes.")
            raise ClientFault(431, "head-too-large", f"The head of the request is over {HEAD_BYTES} bytes.")
        # While it can still show; a lone CR may become the empty line that is let pass.
        if fresh <= METHOD_BYTES and (self._has_skipped or growing != b"\r"):
            fault = diagnosis.of_beginning(bytes(growing[: METHOD_BYTES + 1]))
            if fault is not None:
                raise fault
        if has_line:
            if not self._line_checked:
                if REQUEST_LINE.match(growing) is None:
                    raise diagnosis.of_request_line(bytes(growing))
                self._line_checked = True
            if BARE_LF.search(growing, max(0, fresh - 1)):
                raise ClientFault(400, "bare-lf", "A line ends in LF without CR.")
            self._lines += growing.count(b"\n", fresh)
            if self._lines > FIELD_COUNT + 2:
                raise ClientFault(431, "too-many-fields", f"The request has over {FIELD_COUNT} fields.")
        elif len(growing) > REQUEST_LINE_BYTES and not self._line_checked:
            raise ClientFault(414, "target-too-long", f"The request line is over {REQUEST_LINE_BYTES} bytes.")
        if len(growing) > METHOD_BYTES:
            self._quiet_until = HEAD_BYTES if self._line_checked else REQUEST_LINE_BYTES


class ResponseReader(_Reader):
    """
    Answers from an app server.

    :raises UpstreamFault: 502, from every method.
    """

    __slots__ = ("_last", "_last_bytes", "_last_is_head", "_last_size", "is_reusable")

    def __init__(self) -> None:
        super().__init__()
        self.is_reusable = True
        self._last: ResponseHead | None = None
        self._last_bytes = b""
        self._last_is_head = False
        #: Of the whole answer.
        self._last_size = -1

    def read_whole(self, data: bytes, method: bytes) -> tuple[ResponseHead, bytes] | None:
        """
        Head and body of an answer that has arrived in one piece, and with the last one's head, as most small ones do.

        :param data: instead of `feed`; where it is no such answer it is to be fed: None is returned.
        """
        last = self._last
        if (
            last is None
            or len(data) != self._last_size
            or (method == b"HEAD") is not self._last_is_head
            or self.ready
            or self._growing
            or not data.startswith(self._last_bytes)
        ):
            return None
        return last, data[len(self._last_bytes) :]

    def read_head(self, method: bytes) -> ResponseHead | None:
        """The answer's head (interim ones too), or None until more has arrived; sets `decoder` and `is_reusable`."""
        ready = self.ready
        last = self._last
        if last is not None and ready.startswith(self._last_bytes) and (method == b"HEAD") is self._last_is_head:
            self.ready = ready[len(self._last_bytes) :]
            self.decoder = LengthDecoder(last.length) if last.length and method != b"HEAD" else None
            return last
        end = self._find_head()
        if end < 0:
            return None
        if end > HEAD_BYTES:
            raise malformed(f"its head is over {HEAD_BYTES} bytes.")
        data = self.ready
        head, decoder, is_reusable = parse_response_head(data, end, method)
        # What an interim answer has said of the connection holds for the final one too.
        self.is_reusable = self.is_reusable and is_reusable
        self.decoder = decoder
        self.ready = data[end + 4 :]
        if self.is_reusable and (decoder is None or type(decoder) is LengthDecoder) and head.status == 200:
            self._last, self._last_bytes, self._last_is_head = head, data[: end + 4], method == b"HEAD"
            self._last_size = end + 4 + (head.length or 0 if decoder is not None else 0)
        return head

    def read_body(self) -> bytes:
        """See `_Reader.read_body`."""
        try:
            return super().read_body()
        except ClientFault as fault:
            raise as_malformed(fault) from fault

    def end_of_stream(self) -> Fields:
        """
        The server has closed the connection, orderly.

        :returns: the trailers (none) if the close completes the body.
        :raises UpstreamFault: if the answer is cut.
        """
        if isinstance(self.decoder, CloseDecoder):
            self.decoder.is_complete = True
            return []
        raise UpstreamFault(502, "answer-cut", "The app server closed the connection before its answer was complete.")

    def _check_growing(self, fresh: int, has_line: bool) -> None:
        growing = self._growing
        if len(growing) > HEAD_BYTES + 4:
            raise malformed(f"its head is over {HEAD_BYTES} bytes.")
        if not b"HTTP/1.".startswith(growing[:7]):
            raise malformed("it does not start with HTTP/1.")
        if has_line and BARE_LF.search(growing, max(0, fresh - 1)):
            raise malformed("a line ends in LF without CR.")
