"""``GET /v1/explain?url=U[&method=M][&header=NAME:VALUE]…``: where a request would go, and why; it is not sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.http import parse_qs
from twisted.web.server import Request

from scalekit.balancer.explain import Asked, asked_head, explain
from scalekit.balancer.registering import bad, peer_of
from scalekit.balancer.roster import Roster
from scalekit.balancer.routes import Routing
from scalekit.balancer.traffic import Traffic
from scalekit.errors import ClientFault
from scalekit.http.heads import Client
from scalekit.interfaces import ICacheForecast
from scalekit.web.answers import ProblemResource, json_answer

_KNOWN = {b"method": 1, b"url": 1, b"header": 64}  # a request's own limit is 100 fields; nobody types as many


class ExplainResource(ProblemResource):
    """
    :param traffic: gives what the data path keeps of a service.
    :param cache: what is in front of the app servers; None: nothing is.
    """

    def __init__(
        self,
        roster: Roster,
        routing: Routing,
        traffic: Callable[[str], Traffic],
        clock: IReactorTime,
        cache: ICacheForecast | None = None,
    ) -> None:
        super().__init__()
        self._roster = roster
        self._routing = routing
        self._traffic = traffic
        self._clock = clock
        self._cache = cache

    def render_GET(self, request: Request) -> bytes:
        given = parse_qs(request.uri.partition(b"?")[2], keep_blank_values=1)
        for name, values in given.items():
            most = _KNOWN.get(name)
            if most is None:
                raise ClientFault(
                    400, "unknown-parameter", f"{name.decode('latin-1')[:80]!r} found, method, url or header expected."
                )
            if len(values) > most:
                raise bad(name.decode(), f"{len(values)} of them", f"at most {most}")
        texts = {name: [value.decode("utf-8", "replace") for value in values] for name, values in given.items()}
        url = texts.get(b"url", [""])[0]
        if not url:
            raise bad("url", "", "a URL such as https://shop.example/cart")
        method = texts.get(b"method", ["GET"])[0]
        try:
            head = asked_head(method, url, texts.get(b"header", ()))
        except ClientFault as fault:
            # Not an error of the one who asks: that is what such a request gets.
            refused = {"method": method, "url": url, "status": fault.status, "detail": fault.detail}
            none: dict[str, Any] = {"service": None, "route": None, "near": [], "candidates": [], "cache": None}
            return json_answer(request, 200, refused | none)
        # What is stored for a URL over TLS is not what is stored for it in clear.
        is_secure = request.isSecure() if url.startswith("/") else url.lower().startswith("https:")
        asked = Asked(head, Client(peer_of(request), 0, is_secure, 0))
        now = self._clock.seconds()
        said = explain(asked, self._routing.table, self._roster, self._traffic, now, self._cache)
        return json_answer(request, 200, said)
