"""
What is the same in every HTTP version: an exchange's faults and its answer's length, and whom its connection tells.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from scalekit.errors import Fault, OurFault
from scalekit.http.heads import Fields, Outcome, RequestHead
from scalekit.http.problems import problem_answer

_log = Logger()


class Answering:
    """
    Mix in before an `IExchange`'s own ``answer`` and ``abort``.

    :ivar connection: what carries it; None when it is over.
    :ivar has_begun: whether the answer's head is out.
    """

    __slots__ = ("_left",)

    connection: Any
    has_begun: bool
    head: RequestHead
    observer: Any
    record: Outcome
    request_id: bytes
    #: Body bytes still owed to the client; None when the length is not known.
    _left: int | None

    def answer(self, head: Any, body: bytes = b"") -> None:
        raise NotImplementedError

    def abort(self, fault: Exception) -> None:
        raise NotImplementedError

    def observe(self, observer: object) -> None:
        self.observer = observer

    def fail(self, fault: Exception) -> None:
        if not isinstance(fault, Fault):
            # Told even if nobody waits for the answer any more: it is a mistake of ours.
            _log.failure("{head!r} could not be answered", head=self.head, failure=Failure(fault))
            fault = OurFault(500, "internal-error", "Something went wrong here; the log has more.")
        if self.connection is None:
            return
        if self.has_begun:
            self.abort(fault)
            return
        self.record.reason = fault.reason
        proxy = self.connection.factory.proxy
        head, body = problem_answer(fault, self.head, self.request_id, self.record.attempts, proxy)
        self.answer(head, body)

    def _note(self, fault: Exception) -> None:
        """Why it is cut, for the access log, unless that is known already."""
        if isinstance(fault, Fault) and not self.record.reason:
            self.record.reason = fault.reason

    def _owes(self, size: int) -> bool:
        """Whether the answer may go on by so many bytes; it is cut if not."""
        if self._left is not None:
            if size > self._left:
                self.abort(OurFault(500, "bad-length", "The answer's body is longer than it said."))
                return False
            self._left -= size
        return True

    def _may_finish(self) -> bool:
        """Whether there is an answer, and all of it; it is cut if not."""
        if not self.has_begun:
            self.fail(OurFault(500, "no-answer", "The answer ended before it had begun."))
            return False
        if self._left:
            self.abort(OurFault(500, "bad-length", "The answer's body is shorter than it said."))
            return False
        return True

    def _may_switch(self) -> bool:
        """Whether it can become a tunnel; it is answered with a fault if the client has not asked for one."""
        if self.connection is None or self.has_begun:
            return False
        if not self.head.upgrade:
            self.fail(OurFault(500, "no-upgrade", "The request asks for no other protocol."))
            return False
        return True

    def __repr__(self) -> str:
        state = "over" if self.connection is None else "answering" if self.has_begun else "waiting"
        return f"<{type(self).__name__} {self.head!r} {state}>"


def tell_aborted(observer: Any, fault: Exception) -> None:
    """Tell the observer of an exchange that it has ended; never raises."""
    if observer is not None:
        try:
            observer.aborted(fault)
        except Exception:
            _log.failure("{observer!r} failed when it was told of {fault!r}", observer=observer, fault=fault)


class _Nowhere:
    """Receives what nobody wants."""

    def data(self, piece: bytes) -> None:
        pass

    def end(self, trailers: Fields) -> None:
        pass


NOWHERE = _Nowhere()
