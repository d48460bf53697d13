"""An ASGI application behind the balancer (ASGI 3.0)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from scalekit.kit.context import context
from scalekit.kit.registration import CHALLENGE, RESPONSE, response_to
from scalekit.kit.told import Balancers, read

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_FIELDS = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
_CHALLENGE, _RESPONSE = CHALLENGE.lower().encode(), RESPONSE.lower().encode()


class BehindASGI:
    """
    Answers ``GET /ping`` with 200, or 410 once we leave; all else goes to the application with what the balancer tells:

    * ``client`` is the client's address (and port 0, which is not told), ``scheme`` what it speaks;
    * ``scalekit`` is a dictionary with ``peer``, the balancer's address, ``request_id`` and ``traceparent``; the id is
      also a field of all that is logged by `scalekit.kit.logs` meanwhile.

    A request that does not come from the balancer is left as it is, and has no ``scalekit``.

    :param is_leaving: whether this app server leaves.
    :param join: called when the application has started.
    :param leave: waited for before the application is told to stop.
    :param secret: what challenges are answered with, see `scalekit.kit.registration`; empty: they are not.
    """

    def __init__(
        self,
        application: Application,
        balancers: Balancers,
        is_leaving: Callable[[], bool],
        join: Callable[[], object],
        leave: Callable[[], Awaitable[object]],
        secret: Callable[[], str],
    ) -> None:
        self._application = application
        self._balancers = balancers
        self._is_leaving = is_leaving
        self._join = join
        self._leave = leave
        self._secret = secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._live(scope, receive, send)
            return
        if kind == "http" and scope["path"] == "/ping" and scope["method"] in ("GET", "HEAD"):
            status, body = (410, b"draining\n") if self._is_leaving() else (200, b"OK\n")
            fields = [*_FIELDS, (b"content-length", b"%d" % len(body))]
            nonce = next((value for name, value in scope["headers"] if name == _CHALLENGE), b"")
            secret = self._secret()
            if nonce and secret:
                fields.append((_RESPONSE, response_to(nonce.decode("latin-1"), secret).encode()))
            await send({"type": "http.response.start", "status": status, "headers": fields})
            await send({"type": "http.response.body", "body": body if scope["method"] == "GET" else b""})
            return
        if kind in ("http", "websocket"):
            scope = self._with_told(scope)
            request_id = scope.get("scalekit", {}).get("request_id")
            if request_id:
                with context(request_id=request_id):
                    await self._application(scope, receive, send)
                return
        await self._application(scope, receive, send)

    def _with_told(self, scope: Scope) -> Scope:
        peer, port = scope.get("client") or ("", -1)
        # No connection comes from port 0: uvicorn has believed X-Forwarded-For itself, as it does from the loopback.
        if port != 0 and peer not in self._balancers:
            return scope
        fields: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
        told = read(lambda name: fields.get(name, ""))
        more = {"peer": peer, "request_id": told.request_id, "traceparent": told.traceparent}
        scope = {**scope, "scalekit": more}
        if told.client:
            scope["client"] = (told.client, 0)
        if told.scheme:
            scope["scheme"] = told.scheme.replace("http", "ws") if scope["type"] == "websocket" else told.scheme
        return scope

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application's own lifespan, with ours around it; ours alone where it has none."""
        has_received = False

        async def receive_first() -> dict[str, Any]:
            nonlocal has_received
            message = await receive()
            has_received = True
            if message["type"] == "lifespan.shutdown":
                await self._leave()
            return message

        async def send_then(message: dict[str, Any]) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                self._join()

        try:
            await self._application(scope, receive_first, send_then)
            if has_received:
                return
        except Exception:
            # That is how an application says that it has no lifespan; once it has begun with it, it is a fault.
            if has_received:
                raise
        while True:
            message = await receive_first()
            kind = message["type"]
            await send_then({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return

    def __repr__(self) -> str:
        return f"<BehindASGI {self._application!r}>"
