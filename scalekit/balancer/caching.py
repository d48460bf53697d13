"""
What an HTTP cache in front of the proxy asks of the balancer.

The cache itself is a decorator that the tap puts around the proxy; neither knows the other.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from scalekit.balancer.proxy import ReverseProxy
from scalekit.balancer.routes import Routing
from scalekit.balancer.sticky import cookie_name
from scalekit.config.model import Balancer, Service
from scalekit.http.heads import Client, RequestHead
from scalekit.interfaces import IResponder


class CachedServices:
    """
    Whose a request is, and which services want their answers kept.

    :ivar routing: has another table whenever what is told here may be otherwise.
    """

    def __init__(self, proxy: ReverseProxy, routing: Routing, settings: Balancer) -> None:
        self._proxy = proxy
        self.routing = routing
        self._services: dict[str, Service] = {}
        self.adopt(settings)

    def adopt(self, settings: Balancer) -> None:
        """Take what the configuration says now."""
        self._settings = settings
        self._services = {service.name: service for service in settings.service}

    def service_of(self, head: RequestHead) -> str:
        """The service of this request; raises `scalekit.errors.Fault` if it is to be refused."""
        return self._proxy.service_of(head)

    def is_cached(self, service: str) -> bool:
        """Whether its answers are kept."""
        own = self._services[service].cache if service in self._services else None
        return self._settings.http_cache.every_service if own is None else own

    def is_secure(self, head: RequestHead, client: Client) -> bool:
        """Whether it came over TLS, to us or to a trusted peer."""
        return self._proxy.forwarder.is_secure(head, client)

    def is_told_otherwise(self, head: RequestHead, client: Client) -> bool:
        """Whether a trusted peer says another host, port or scheme than those by which a cache knows the request."""
        return self._proxy.forwarder.is_told_otherwise(head, client)

    def own_cookie(self, service: str) -> bytes:
        """The name of the cookie that brings clients back to an instance; empty: there is none."""
        found = self._services.get(service)
        if found is None or not found.sticky:
            return b""
        return cookie_name(service, found.sticky_cookie or "")

    def __repr__(self) -> str:
        return f"<CachedServices of {self._proxy!r}>"


@implementer(IResponder)
class Explaining:
    """
    Answers ``X-Scalekit-Explain`` around a cache: the proxy behind it sees only what is not answered out of the store.

    :param responder: the cache.
    """

    def __init__(self, responder: IResponder, proxy: ReverseProxy) -> None:
        self._responder = responder
        self._proxy = proxy

    def respond(self, exchange: Any) -> None:
        if self._proxy.is_explained(exchange):
            self._proxy.explain(exchange, self._responder.respond)
        else:
            self._responder.respond(exchange)

    def __repr__(self) -> str:
        return f"<Explaining of {self._responder!r}>"
