"""What a store answers at once or later: memory at once, so that a hit is one call; Redis later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from scalekit.errors import Fault, OurFault
from scalekit.interfaces import IAnswerObserver
from scalekit.web.answers import answer_later

_log = Logger()


def then(result: Any, take: Callable[[Any], None], exchange: Any) -> None:
    """
    Give a result to this function, now or when it is there; not if its client leaves meanwhile.

    :param exchange: is failed if that goes wrong later; now the `Fault` is raised.
    """
    if not isinstance(result, Deferred):
        take(result)
        return
    exchange.observe(_Leaving(result))

    def explain(failure: Failure) -> None:
        fault = failure.value
        if isinstance(fault, Fault):
            exchange.fail(fault)
        elif not isinstance(fault, CancelledError):  # else the client has left
            _log.failure("answering {head}", failure, head=exchange.head)
            exchange.fail(OurFault(500, "internal", "Something went wrong here."))

    result.addCallback(take).addErrback(explain)


def rendered(request: Request, result: Any, render: Callable[[Any], bytes]) -> bytes | int:
    """
    What a render method returns whose answer depends on a result.

    :param render: makes the body; with the status 204 there is none, and no Content-Length.
    """
    if isinstance(result, Deferred):
        return answer_later(request, result.addCallback(render))
    body = render(result)
    if request.code != 204:
        return body
    # Finished here, since a stock site would add ``Content-Length: 0`` (against RFC 9110 section 8.6).
    request.finish()
    return NOT_DONE_YET


@implementer(IAnswerObserver)
class _Leaving:
    """A client that may leave while it waits."""

    def __init__(self, waiting: Deferred[Any]) -> None:
        self._waiting = waiting

    def aborted(self, fault: Exception) -> None:
        self._waiting.cancel()

    def pause(self) -> None:
        """The answer is one piece."""

    def resume(self) -> None:
        """The answer is one piece."""
