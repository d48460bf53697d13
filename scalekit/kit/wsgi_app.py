"""A WSGI application behind the balancer (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from scalekit.kit.context import context
from scalekit.kit.registration import CHALLENGE, RESPONSE, response_to
from scalekit.kit.told import Balancers, read

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_FIELDS = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]
_CHALLENGE = f"HTTP_{CHALLENGE.upper().replace('-', '_')}"


class BehindWSGI:
    """
    Answers ``GET /ping`` with 200, or 410 once we leave; all else goes to the application with what the balancer tells:

    * ``REMOTE_ADDR`` is the client's address, ``wsgi.url_scheme`` what it speaks;
    * ``scalekit.peer`` is the balancer's address, ``scalekit.request_id`` and ``scalekit.traceparent`` are as it says;
      the id is also a field of all that is logged by `scalekit.kit.logs` until the application has returned.

    A request that does not come from the balancer is left as it is, and has none of the last three.

    :param is_leaving: whether this app server leaves.
    :param join: registers it.
    :param secret: what challenges are answered with, see `scalekit.kit.registration`; empty: they are not.

    :ivar join: the same; only for servers that fork after they have imported the application.
    """

    def __init__(
        self,
        application: Application,
        balancers: Balancers,
        is_leaving: Callable[[], bool],
        join: Callable[[], object],
        secret: Callable[[], str],
    ) -> None:
        self._application = application
        self._balancers = balancers
        self._is_leaving = is_leaving
        self.join = join
        self._secret = secret

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        if method in ("GET", "HEAD") and environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "") == "/ping":
            status, body = ("410 Gone", b"draining\n") if self._is_leaving() else ("200 OK", b"OK\n")
            fields = [*_FIELDS, ("Content-Length", str(len(body)))]
            nonce, secret = environ.get(_CHALLENGE, ""), self._secret()
            if nonce and secret:
                fields.append((RESPONSE, response_to(nonce, secret)))
            start_response(status, fields)
            return [body] if method == "GET" else []
        peer = environ.get("REMOTE_ADDR", "")
        if peer in self._balancers:
            told = read(lambda name: str(environ.get(f"HTTP_{name.upper().replace('-', '_')}", "")))
            environ["scalekit.peer"] = peer
            environ["scalekit.request_id"] = told.request_id
            environ["scalekit.traceparent"] = told.traceparent
            if told.client:
                environ["REMOTE_ADDR"] = told.client
                environ.pop("REMOTE_PORT", None)  # the balancer's, and the client's is not told
            if told.scheme:
                environ["wsgi.url_scheme"] = told.scheme
            if told.request_id:
                with context(request_id=told.request_id):
                    return self._application(environ, start_response)
        return self._application(environ, start_response)

    def __repr__(self) -> str:
        return f"<BehindWSGI {self._application!r}>"
