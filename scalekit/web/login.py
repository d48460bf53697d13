"""
How people get to the pages of a private listener from another machine: a form for their token, and a cookie after it.

A browser shows no bearer token by itself.  So whoever asks for a page without one gets the form, with status 401;
``POST /login`` takes the token once and answers with a cookie that says nothing of it (`scalekit.web.sessions`), and
``POST /logout`` ends that.  Each attempt that fails is one line in the log, and there may be few of them.

Where a request came in clear there is no form, since the token would be readable on its way: the page says so.  On
this machine none of it is needed, and both paths only lead back to the page.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from math import ceil
from typing import Any

from twisted.logger import Logger
from twisted.web.http import parse_qs
from twisted.web.resource import Resource
from twisted.web.server import Request

from scalekit.config.tokens import Grant, Tokens
from scalekit.errors import ClientFault
from scalekit.http.cookies import SESSION_COOKIE, cookie_value
from scalekit.http.heads import Client, Fields, RequestHead, ResponseHead
from scalekit.web.access import is_from_here, is_local
from scalekit.web.answers import ProblemResource, read_body
from scalekit.web.attempts import Attempts
from scalekit.web.sessions import SESSION_SECONDS, Sessions

#: Nothing but the stylesheet; the form goes nowhere else, and stands in nobody's frame.
_POLICY = (
    b"default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_FORM_TYPE = b"application/x-www-form-urlencoded"
#: A form with a token; the longest one in use is a tenth of it.
_FORM_BYTES = 4096

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{stylesheet}">
</head>
<body class="entry">
<main>
<h1>{title}</h1>
{said}{rest}
</main>
</body>
</html>
"""
_FORM = """<form method="post" action="/login">
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" autocapitalize="none"
 spellcheck="false" required autofocus>
<button type="submit">Log in</button>
</form>
<p class="quiet">One line of the file that <code>token_file</code> names has it, after its role: <code>operator</code>
may change things, <code>read</code> may look.</p>"""
_CLEAR = """<p>This connection is not encrypted: a token would be readable on its way here. Open the page by
<code>https://</code>.</p>
<p class="quiet">Or bring it to your own machine by ssh, where no token is needed:
<code>ssh -L {port}:127.0.0.1:{port} {host}</code></p>"""

_log = Logger()


class Login:
    """
    :param title: what people are logging in to.
    :param stylesheet: its path.
    :param now: seconds of a clock of this process.

    :ivar tokens: those that are good at present; None: the listener needs none.
    :ivar resources: ``/login`` and ``/logout``, by the name of their path.
    :ivar open_paths: what is answered without a token.
    """

    def __init__(
        self, title: str, stylesheet: str, random_bytes: Callable[[int], bytes], now: Callable[[], float]
    ) -> None:
        self._title = title
        self._stylesheet = stylesheet
        self._sessions = Sessions(random_bytes)
        self._attempts = Attempts()
        self._now = now
        self.tokens: Tokens | None = None
        self.resources: dict[bytes, Resource] = {b"login": _LoginResource(self), b"logout": _LogoutResource(self)}
        self.open_paths = frozenset((b"/login", b"/logout", stylesheet.encode("ascii")))

    def session(self, head: RequestHead, client: Client) -> Grant | None:
        """What the session of this request allows; None without one."""
        if self.tokens is None or not client.is_secure:
            return None
        value = cookie_value(head.fields, SESSION_COOKIE)
        return None if value is None else self._sessions.grant(value, self.tokens, client.address, self._now())

    def refused(self, fault: ClientFault, client: Client, host: str) -> tuple[ResponseHead, bytes]:
        """The answer to somebody who has asked for a page without a token."""
        body = self.page("", client, host)
        return ResponseHead(fault.status, page_fields(), len(body)), body

    def page(self, said: str, client: Client, host: str) -> bytes:
        """
        The form, or why there is none.

        :param said: what was wrong with the last attempt.
        """
        rest = _FORM
        if not client.is_secure:
            rest = _CLEAR.format(port=client.local_port, host=escape(host))
        said = f'<p class="said" role="alert">{escape(said)}</p>\n' if said else ""
        page = _PAGE.format(title=escape(self._title), stylesheet=escape(self._stylesheet), said=said, rest=rest)
        return page.encode()

    def log_in(self, token: bytes, client: Client) -> bytes:
        """
        The cookie of a new session.

        :raises ClientFault: 401, 403 or 429, which is told to whoever tries, and to the log.
        """
        now, address, tokens = self._now(), client.address, self.tokens
        if tokens is None or not client.is_secure:
            raise ClientFault(403, "clear-text", "A token is taken by https only.")
        wait = self._attempts.wait_seconds(address, now)
        if wait:
            # Not one line each: their number is nobody's but the stranger's.
            raise ClientFault(429, "attempts", f"Too many attempts have failed. Wait {ceil(wait)} s.", ceil(wait))
        grant = tokens.grant_for(token)
        if grant is None:
            must_wait = self._attempts.failed(address, now)
            consequence = "; it has to wait now" if must_wait else ""
            _log.warn("refused login of {peer}: bad-token{consequence}", peer=address, consequence=consequence)
            raise ClientFault(401, "bad-token", "That token is not one of those for this listener.")
        if not grant.allows("read", grant.service):
            self._attempts.failed(address, now)
            _log.warn("refused login of {peer}: the token's role is {role}", peer=address, role=grant.role)
            raise ClientFault(403, "token-role", f"That token is for the role {grant.role}, which may not look.")
        self._attempts.succeeded(address)
        _log.info("login of {peer}: {grant!r}", peer=address, grant=grant)
        return _cookie(self._sessions.begin(token, address, now), int(SESSION_SECONDS))

    def log_out(self, head: RequestHead, client: Client) -> bytes:
        """The cookie that takes the session's away."""
        value = cookie_value(head.fields, SESSION_COOKIE)
        if value and self.tokens and self._sessions.end(value, self.tokens, client.address, self._now()):
            _log.info("logout of {peer}", peer=client.address)
        return _cookie(b"", 0)


def page_fields() -> Fields:
    """What goes along with the form."""
    return [
        (b"Content-Type", b"text/html; charset=utf-8"),
        (b"Content-Security-Policy", _POLICY),
        (b"Cache-Control", b"no-store"),
        (b"Vary", b"Accept, Cookie"),
        (b"X-Content-Type-Options", b"nosniff"),
        # With no-referrer the browser would call the form's own origin null (Fetch, "append a request Origin header").
        (b"Referrer-Policy", b"same-origin"),
    ]


def _cookie(value: bytes, seconds: int) -> bytes:
    # The prefix binds it to this host, by https, for all paths (RFC 6265bis section 4.1.3).
    return b"%b=%b; Path=/; Max-Age=%d; Secure; HttpOnly; SameSite=Strict" % (SESSION_COOKIE, value, seconds)


class _Entry(ProblemResource):
    """What both paths share: who asks, and back to the page."""

    isLeaf = True

    def __init__(self, login: Login) -> None:
        super().__init__()
        self._login = login

    def render_GET(self, request: Request) -> bytes:
        return _back(request)

    def render_POST(self, request: Request) -> bytes:
        exchange: Any = request.exchange  # type: ignore[attr-defined]
        if not is_from_here(exchange.head):
            raise ClientFault(403, "no-origin", "The request does not say that it comes from a page of this listener.")
        if self._login.tokens is None or is_local(exchange.client.address):
            return _back(request)
        return self.act(request, exchange)

    def act(self, request: Request, exchange: Any) -> bytes:
        """Do it, and answer."""
        raise NotImplementedError


class _LoginResource(_Entry):
    def act(self, request: Request, exchange: Any) -> bytes:
        login = self._login
        kind = (request.getHeader("content-type") or "").partition(";")[0].strip().lower()
        if kind.encode("latin-1", "replace") != _FORM_TYPE:
            raise ClientFault(415, "bad-form", f"The body is not {_FORM_TYPE.decode()}.")
        fields = parse_qs(read_body(request, _FORM_BYTES))
        token = fields.get(b"token", [b""])[0].strip()
        try:
            cookie = login.log_in(token, exchange.client)
        except ClientFault as fault:
            exchange.record.reason = fault.reason
            request.setResponseCode(fault.status)
            for name, value in page_fields():
                request.setHeader(name, value)
            if fault.status == 401:
                request.setHeader(b"www-authenticate", b"Bearer")
            if fault.retry_after is not None:
                request.setHeader(b"retry-after", b"%d" % fault.retry_after)
            return login.page(fault.detail, exchange.client, exchange.head.host.decode("latin-1"))
        return _back(request, cookie)


class _LogoutResource(_Entry):
    def act(self, request: Request, exchange: Any) -> bytes:
        return _back(request, self._login.log_out(exchange.head, exchange.client))


def _back(request: Request, cookie: bytes | None = None) -> bytes:
    """To the page, by GET (RFC 9110 section 15.4.4)."""
    request.setResponseCode(303)
    request.setHeader(b"location", b"/")
    request.setHeader(b"cache-control", b"no-store")
    if cookie is not None:
        request.setHeader(b"set-cookie", cookie)
    return b""
