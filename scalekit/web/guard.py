"""`Guard`: keeps web pages of other origins, and clients without a token, from a private listener."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from zope.interface import implementer

from scalekit.config.tokens import Grant, Tokens
from scalekit.errors import ClientFault
from scalekit.http.heads import RequestHead
from scalekit.http.problems import problem_answer
from scalekit.interfaces import IResponder
from scalekit.web.access import RoleOf, data_role, is_local, verdict
from scalekit.web.login import Login
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
    :param login: how people get to the pages behind it without a token in each request; None: they do not.
    """

    def __init__(
        self,
        responder: IResponder,
        names: Iterable[str] = (),
        tokens: Tokens | None = None,
        role_of: RoleOf = data_role,
        login: Login | None = None,
    ) -> None:
        self._responder = responder
        self._respond = responder.respond
        self._names = frozenset(name.lower().strip("[]").removesuffix(".") for name in names)
        self._tokens = tokens
        self._role_of = role_of if login is None else _role_with(role_of, login.open_paths)
        self._login = login
        if login is not None:
            login.tokens = tokens

    def __repr__(self) -> str:
        return f"<Guard of {self._responder!r} for {sorted(self._names)}>"

    def respond(self, exchange: Any) -> None:
        """Let the responder answer, or refuse."""
        head, client = exchange.head, exchange.client
        passed = head.passed
        if passed is not None and passed[0] is self and passed[1] is client:
            self._respond(exchange)
            return
        session = None
        if self._login is not None and not is_local(client.address):
            session = self._login.session(head, client)
        found = verdict(head, client, self._names, self._tokens, self._role_of, session)
        if found is None:
            # Nothing but the head, the connection and this guard was asked: the next time it is the same.
            head.passed = self, client
            self._responder.respond(exchange)
        elif isinstance(found, Grant):
            login = self._login if found is session else None
            self._responder.respond(_GrantedExchange(exchange, found, login))
        else:
            self._refuse(exchange, found)

    def _refuse(self, exchange: Any, fault: ClientFault) -> None:
        head: RequestHead = exchange.head
        # Also to who has shown a certificate, which is an app's.
        may_log_in = fault.status == 401 or fault.reason == "token-role"
        if self._login is not None and may_log_in and _is_for_people(head):
            answer, body = self._login.refused(fault, exchange.client, head.host.decode("latin-1"))
        else:
            answer, body = problem_answer(fault, head, exchange.request_id)
        if fault.status == 401:
            answer.fields.append(_CHALLENGE)
        exchange.record.reason = fault.reason
        exchange.answer(answer, body)


def grant_of(request: Any) -> Grant | None:
    """What the token of this ``twisted.web`` request allows; None where it came without one, and needed none."""
    return getattr(getattr(request, "exchange", None), "grant", None)


def has_session(request: Any) -> bool:
    """Whether this ``twisted.web`` request came with the cookie of a login."""
    return getattr(getattr(request, "exchange", None), "login", None) is not None


def has_lapsed(request: Any) -> bool:
    """Whether it came so, and the session is over since: for answers that go on for hours."""
    return is_lapsed(getattr(request, "exchange", None))


def is_lapsed(exchange: Any) -> bool:
    """The same of an exchange."""
    login = getattr(exchange, "login", None)
    return login is not None and login.session(exchange.head, exchange.client) is None


def _role_with(role_of: RoleOf, open_paths: frozenset[bytes]) -> Callable[[RequestHead], str | None]:
    return lambda head: None if head.normal_path in open_paths else role_of(head)


def _is_for_people(head: RequestHead) -> bool:
    """Whether a page is asked for: browsers name HTML in Accept, and curl does not."""
    return head.method in (b"GET", b"HEAD") and b"text/html" in (head.get(b"accept") or b"").lower()


class _GrantedExchange(WrappedExchange):
    """An exchange that knows what its client may do, and whether that is by a session."""

    __slots__ = ("grant", "login")

    def __init__(self, inner: Any, grant: Grant, login: Login | None) -> None:
        WrappedExchange.__init__(self, inner)
        self.grant = grant
        self.login = login
