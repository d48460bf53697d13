"""
``X-Scalekit-Explain: 1``: a trusted peer asks, and the answer tells where it came from and why.

The field is a dictionary (RFC 8941 section 3.2)::

    X-Scalekit-Explain: route="shop.example/cart", service="shop", instance="web-1", picker="round-robin", attempts=2

``retry`` says why what failed was not sent again, ``reason`` what was wrong where the answer is ours, ``cache`` what
the HTTP cache made of it.  Nobody else gets it: the names of app servers are for those who run them.  The request's
field goes no further, whoever has sent it (`scalekit.http.forwarding`).  Nothing is done for requests of those who are
not trusted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scalekit.balancer.listing import shown_route
from scalekit.balancer.routes import Route
from scalekit.errors import Fault
from scalekit.http.heads import Outcome, RequestHead, ResponseHead
from scalekit.http.problems import problem_answer
from scalekit.http.proxy_status import passed_on
from scalekit.web.wrapping import WrappedExchange

FIELD = b"X-Scalekit-Explain"
_LOWER = FIELD.lower()


def is_asked(head: RequestHead) -> bool:
    """Whether this request wants to know."""
    return head.get(_LOWER) == b"1"


def explanation(record: Outcome, route: Route | None, picker: str) -> bytes:
    """
    The field's value.

    :param route: the one that matched.
    :param picker: the algorithm of its service; empty: nobody was picked.
    """
    said: list[tuple[str, str | int]] = [
        ("route", "" if route is None else shown_route(route)),
        ("service", record.service),
        ("instance", record.instance),
        ("picker", picker),
        ("cache", record.cache),
        ("attempts", record.attempts),
        ("retry", record.retry),
        ("reason", record.reason),
    ]
    return ", ".join(f"{name}={_item(value)}" for name, value in said if value or name == "attempts").encode("ascii")


def _item(value: str | int) -> str:
    """A structured field's integer or string (RFC 8941 sections 3.3.1 and 3.3.3); strings are printable ASCII."""
    if isinstance(value, int):
        return str(value)
    printable = "".join(each if " " <= each <= "~" else "?" for each in value)
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'


class ExplainedExchange(WrappedExchange):
    """
    An exchange whose answer gets the field.

    :param name: ours in Proxy-Status.
    :param tell: gives the field's value, when the answer begins.
    """

    __slots__ = ("_has_begun", "_name", "_tell")

    def __init__(self, inner: Any, name: bytes, tell: Callable[[Outcome], bytes]) -> None:
        head: RequestHead = inner.head
        # One without the question: it is asked once, and what is kept with a head is not kept with this one.
        rest = [field for field in head.fields if field[0].lower() != _LOWER]
        WrappedExchange.__init__(self, inner, head.with_fields(rest))
        self._name = name
        self._tell = tell
        self._has_begun = False

    def answer(self, head: Any, body: bytes = b"") -> None:
        self._inner.answer(self._told(head), body)

    def begin(self, head: Any) -> None:
        self._inner.begin(self._told(head))

    def switch(self, head: Any, receiver: Any) -> None:
        self._inner.switch(self._told(head), receiver)

    def fail(self, fault: Exception) -> None:
        if self._has_begun or not isinstance(fault, Fault):
            self._inner.fail(fault)
            return
        self.record.reason = fault.reason
        self.answer(*problem_answer(fault, self.head, self.request_id, self.record.attempts, self._name))

    def _told(self, head: ResponseHead) -> ResponseHead:
        """With the field, and not an app server's own; heads that came before may be shared."""
        self._has_begun = True
        fields = [field for field in head.fields if field[0].lower() != _LOWER]
        if self.record.attempts and not self.record.reason and head.get(b"proxy-status") is None:
            fields.append(passed_on(self._name, head.status))
        fields.append((FIELD, self._tell(self.record)))
        return head.with_fields(fields)
