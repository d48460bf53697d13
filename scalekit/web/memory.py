"""
`MemoryExchange`: an exchange without a listener, for tests of responders.

::

    exchange = ask(responder, b"GET", b"/posts/1", [(b"Accept-Encoding", b"gzip")])
    assert exchange.status == 200 and exchange.sent == b"..."

It keeps what the responder did (`status`, `fields`, `sent`, `is_finished`, `fault`), lets the test play the client
(`feed`, `end`, `leave`, `hold`, `release`), and raises `MisuseError` where a responder breaks the rules of `IExchange`.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from scalekit.errors import ClientFault, Fault, OurFault
from scalekit.http.heads import Amend, Client, Fields, Outcome, RequestHead, ResponseHead, values_of
from scalekit.http.problems import problem_answer
from scalekit.interfaces import IExchange, IResponder

_log = Logger()

LOCAL = Client("127.0.0.1", 50000, False, 2000)


class MisuseError(AssertionError):
    """A responder called `IExchange` in an order that its rules do not allow."""


@implementer(IExchange)
class MemoryExchange:
    """
    :param body: what the client has sent of the body already; more comes by `feed`.
    :param is_ended: whether that is all of it.

    :ivar answer_head: the `ResponseHead`; None until the answer begins.
    :ivar sent: the body bytes that a client would see (none for HEAD, 204 and 304).
    :ivar pieces: the same, as the pieces they were written in.
    :ivar is_whole: whether it came by one `answer` call.
    :ivar is_finished: whether the answer is complete.
    :ivar fault: what it was aborted with, by the responder or by `leave`.
    :ivar interim: the 1xx answers, as ``(status, fields)``.
    :ivar is_paused: whether the responder has paused the body.
    :ivar is_tunnel: whether the responder has switched protocols: `sent` is what went through the tunnel then, `feed`
        and `end` are the client's end of it.
    """

    def __init__(self, head: RequestHead, body: bytes = b"", is_ended: bool = True, client: Client = LOCAL) -> None:
        self.head = head
        self.client = client
        self.request_id = b"test-1"
        self.record = Outcome()
        self.amend: Amend | None = None
        self.answer_head: ResponseHead | None = None
        self.pieces: list[bytes] = []
        self.is_whole = False
        self.is_finished = False
        self.is_discarded = False
        self.is_paused = False
        self.is_tunnel = False
        self.fault: Exception | None = None
        self.interim: list[tuple[int, Fields]] = []
        self.trailers: Fields = []
        self._observer: Any = None
        self._receiver: Any = None
        self._waiting = body
        self._is_ended = is_ended
        self._end_told = False
        self._body_trailers: Fields = []

    def __repr__(self) -> str:
        state = "finished" if self.is_finished else f"aborted {self.fault!r}" if self.fault else "open"
        return f"<MemoryExchange {self.head!r} {self.answer_head!r} {len(self.sent)} bytes, {state}>"

    # What the client saw.

    @property
    def status(self) -> int:
        """The status answered; 0 before an answer."""
        return self.answer_head.status if self.answer_head is not None else 0

    @property
    def fields(self) -> Fields:
        return self.answer_head.fields if self.answer_head is not None else []

    @property
    def sent(self) -> bytes:
        return b"".join(self.pieces)

    def values(self, lower_name: bytes) -> list[bytes]:
        """All values of the answer's fields of this name."""
        return values_of(self.fields, lower_name)

    # What the client does.

    def feed(self, data: bytes) -> None:
        """The client sends a piece of the body."""
        self._waiting += data
        self._deliver()

    def end(self, trailers: Fields | None = None) -> None:
        """The client's body is complete."""
        self._is_ended = True
        self._body_trailers = trailers or []
        self._deliver()

    def leave(self, fault: Exception | None = None) -> None:
        """The client goes away."""
        self.fault = fault or ClientFault(499, "client-gone", "The client closed the connection.")
        if self._observer is not None:
            self._observer.aborted(self.fault)

    def hold(self) -> None:
        """The client reads no more."""
        self._observer.pause()

    def release(self) -> None:
        """The client reads on."""
        self._observer.resume()

    def go_away(self) -> None:
        """The listener of this tunnel is to end."""
        self._receiver.go_away()

    # IExchange

    def observe(self, observer: object) -> None:
        self._observer = observer

    def receive(self, receiver: object) -> None:
        self._require(self._receiver is None and not self.is_discarded, "the body was received or discarded before")
        self._receiver = receiver
        self._deliver()

    def discard(self) -> None:
        self.is_discarded = True

    def pause(self) -> None:
        if self._receiver is not None and not self._end_told:
            self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False
        self._deliver()

    def inform(self, status: int, fields: Fields) -> None:
        self._require(self.answer_head is None, "inform after the answer began")
        self.interim.append((status, fields))

    def answer(self, head: Any, body: bytes = b"") -> None:
        if self.fault is not None:
            return
        if self.amend is not None:
            head = self.amend(head, len(body) if head.length is None else head.length)
        self._start(head)
        if head.length is None and not self._is_bodiless():
            head.length = len(body)
        self.is_whole = True
        self.write(body)
        self.finish()

    def begin(self, head: Any) -> None:
        if self.fault is None:
            self._start(head if self.amend is None else self.amend(head, head.length))

    def write(self, data: bytes) -> None:
        if self.fault is not None:
            return
        self._require(self.answer_head is not None and not self.is_finished, "write outside of an answer")
        if data and not self._is_bodiless():
            self.pieces.append(bytes(data))
            self.record.sent += len(data)

    def finish(self, trailers: Fields | None = None) -> None:
        if self.fault is not None:
            return
        self._require(self.answer_head is not None and not self.is_finished, "finish outside of an answer")
        assert self.answer_head is not None
        length = self.answer_head.length
        if length is not None and length != len(self.sent) and not self._is_bodiless():
            self.fault = OurFault(500, "short-answer", f"{len(self.sent)} bytes of {length}.")
            return
        self.trailers = list(trailers or [])
        self.is_finished = True

    def switch(self, head: Any, receiver: Any) -> None:
        if self.fault is not None:
            return
        self._require(bool(self.head.upgrade), "switch though no protocol was asked for")
        self._require(self._receiver is None, "the body was received before")
        self.is_tunnel = True
        self._start(ResponseHead(101, head.fields))
        self._receiver = receiver
        self._deliver()

    def fail(self, fault: Any) -> None:
        if self.fault is not None:
            return
        self.record.reason = fault.reason
        if self.answer_head is None:
            self.answer(*problem_answer(fault, self.head, self.request_id, self.record.attempts))
        else:
            self.abort(fault)

    def abort(self, fault: Exception) -> None:
        self._require(not self.is_finished, "abort after the end")
        self.fault = fault

    # Inside.

    def _is_bodiless(self) -> bool:
        return self.head.method == b"HEAD" or self.status in (204, 304)

    def _start(self, head: ResponseHead) -> None:
        self._require(self.answer_head is None, "a second answer")
        self.answer_head = head
        self.record.status = head.status

    def _deliver(self) -> None:
        if self._receiver is None or self.is_paused or self.fault is not None:
            return
        if self._waiting:
            data, self._waiting = self._waiting, b""
            self._receiver.data(data)
        if self._is_ended and not self._end_told and not self.is_paused and self.fault is None:
            self._end_told = True
            self._receiver.end(self._body_trailers)

    def _require(self, rule: bool, what: str) -> None:
        if not rule:
            raise MisuseError(f"{what}: {self!r}")


def respond(responder: IResponder, exchange: Any) -> None:
    """Hand an exchange to a responder the way a listener does: what it raises becomes the answer."""
    try:
        responder.respond(exchange)
    except Fault as fault:
        exchange.fail(fault)
    except MisuseError:
        raise
    except Exception:
        _log.failure("responding to {head}", head=exchange.head)
        exchange.fail(OurFault(500, "internal", "Something went wrong here."))


def ask(
    responder: IResponder,
    method: bytes = b"GET",
    target: bytes = b"/",
    fields: Fields | None = None,
    body: bytes = b"",
    client: Client = LOCAL,
    host: bytes = b"localhost",
    version: int = 11,
) -> MemoryExchange:
    """Let a responder answer one request whose body is there already; returns the exchange, answered or not yet."""
    head = RequestHead(method, target, list(fields or []), host=host, length=len(body), version=version)
    exchange = MemoryExchange(head, body, client=client)
    respond(responder, exchange)
    return exchange
