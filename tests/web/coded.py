"""What `Compress` stands before: responders that answer at once or in pieces, and threads; and who decodes it."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.heads import Fields, ResponseHead
from scalekit.web.compress import Compress
from scalekit.web.memory import MemoryExchange
from tests.web.decoders import decoded, partly

HTML = [(b"Content-Type", b"text/html")]
PAGE = b"<p>the same again and again</p>" * 100


class Fixed:
    """Answers everything with one head and body; remembers the exchanges."""

    def __init__(self, fields: Fields, body: bytes = b"", status: int = 200, length: int | None = None) -> None:
        self.answer = (status, fields, length, body)
        self.exchanges: list[Any] = []

    def respond(self, exchange: Any) -> None:
        self.exchanges.append(exchange)
        status, fields, length, body = self.answer
        exchange.answer(ResponseHead(status, list(fields), length), body)


class Streaming:
    """Leaves the exchange to the test, and keeps what its observer hears."""

    def respond(self, exchange: Any) -> None:
        self.exchange = exchange
        self.heard: list[str] = []
        exchange.observe(self)

    def pause(self) -> None:
        self.heard.append("pause")

    def resume(self) -> None:
        self.heard.append("resume")

    def aborted(self, fault: Exception) -> None:
        self.heard.append("aborted")


class Threads:
    """Threads that finish when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Deferred[Any], Any, Any]] = []

    def __call__(self, function: Any, *arguments: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.waiting.append((done, function, arguments))
        return done

    def run(self) -> None:
        done, function, arguments = self.waiting.pop(0)
        done.callback(function(*arguments))

    def run_all(self) -> None:
        while self.waiting:
            self.run()


def at_once(function: Any, *arguments: Any) -> Deferred[Any]:
    return succeed(function(*arguments))


def made(responder: Any, *algorithms: str) -> Compress:
    return Compress(responder, Clock(), at_once, *([algorithms] if algorithms else []))


class CodingCase(SynchronousTestCase):
    """Each coding, asked for by a client that takes no other."""

    coding: ClassVar[bytes]

    @property
    def accepts(self) -> Fields:
        return [(b"Accept-Encoding", self.coding)]

    def decoded(self, exchange: MemoryExchange) -> bytes:
        return decoded(self.coding, exchange.sent)

    def partly(self, exchange: MemoryExchange) -> bytes:
        return partly(self.coding, exchange.sent)

    def tag(self, opaque: bytes) -> bytes:
        """What the tag of a coded answer is."""
        return b'W/"%s%s"' % (opaque, b"" if self.coding == b"gzip" else b"-" + self.coding)
