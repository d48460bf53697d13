"""`Guard`: keeps web pages of other origins, and clients without a token, from a private listener."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from zope.interface import implementer

from scalekit.config.tokens import Grant, Tokens
from scalekit.errors import ClientFault
from scalekit.http.problems import problem_answer
from scalekit.interfaces import IResponder
from scalekit.web.access import RoleOf, data_role, verdict
from scalekit.web.wrapping import WrappedExchange

# RFC 6750 section 3: a 401 names the scheme.
_CHALLENGE = (b"WWW-Authenticate", b"Bearer")


@implementer(IResponder)
class Guard:
    """
    :param responder: who answers those that pass.
    :param names: our own host names and addresses, as they may stand in Host; loopback need not be among them.
    :param tokens: what a client off this machine needs one of; None: no tokens here.
    :param role_of: the role a request needs, such as `scalekit.web.access.registration_role`.
    """

    def __init__(
        self,
        responder: IResponder,
        names: Iterable[str] = (),
        tokens: Tokens | None = None,
        role_of: RoleOf = data_role,
    ) -> None:
        self._responder = responder
        self._names = frozenset(name.lower().strip("[]").removesuffix(".") for name in names)
        self._tokens = tokens
        self._role_of = role_of

    def __repr__(self) -> str:
        return f"<Guard of {self._responder!r} for {sorted(self._names)}>"

    def respond(self, exchange: Any) -> None:
        """Let the responder answer, or refuse."""
        found = verdict(exchange.head, exchange.client, self._names, self._tokens, self._role_of)
        if found is None:
            self._responder.respond(exchange)
        elif isinstance(found, Grant):
            self._responder.respond(_GrantedExchange(exchange, found))
        else:
            _refuse(exchange, found)


def grant_of(request: Any) -> Grant | None:
    """What the token of this ``twisted.web`` request allows; None where it came without one, and needed none."""
    return getattr(getattr(request, "exchange", None), "grant", None)


def _refuse(exchange: Any, fault: ClientFault) -> None:
    head, body = problem_answer(fault, exchange.head, exchange.request_id)
    if fault.status == 401:
        head.fields.append(_CHALLENGE)
    exchange.record.reason = fault.reason
    exchange.answer(head, body)


class _GrantedExchange(WrappedExchange):
    """An exchange that knows what its client may do."""

    __slots__ = ("grant",)

    def __init__(self, inner: Any, grant: Grant) -> None:
        WrappedExchange.__init__(self, inner)
        self.grant = grant
