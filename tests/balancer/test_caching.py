"""What an HTTP cache asks of the balancer, and the cache between a client, the proxy and app servers."""

from __future__ import annotations

import ipaddress
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.caching import CachedServices, Explaining
from scalekit.balancer.routes import Routing
from scalekit.cache.front.front import CacheFront
from scalekit.cache.store import Store
from scalekit.config.model import Balancer, HTTPCache, Service
from scalekit.http.forwarding import Forwarder
from scalekit.http.heads import Client, RequestHead
from tests.balancer.proxied import Case, Proxied, get

OK = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nhello"


class ServicesTests(SynchronousTestCase):
    def services(self, **options: Any) -> CachedServices:
        self.it = Proxied()
        return CachedServices(self.it.proxy, self.it.routing, Balancer(**options))

    def test_which_are_cached(self) -> None:
        named = (Service(name="yes", cache=True), Service(name="no", cache=False), Service(name="unsaid"))
        services = self.services(service=named)
        self.assertEqual(
            [services.is_cached(name) for name in ("yes", "no", "unsaid", "new")], [True, False, True, True]
        )
        services.adopt(Balancer(service=named, http_cache=HTTPCache(every_service=False)))
        self.assertEqual(
            [services.is_cached(name) for name in ("yes", "no", "unsaid", "new")], [True, False, False, False]
        )

    def test_the_cookie_of_sticky_ones(self) -> None:
        sticky = (
            Service(name="a", sticky=True),
            Service(name="b", sticky=True, sticky_cookie="own"),
            Service(name="c"),
        )
        services = self.services(service=sticky)
        self.assertEqual([services.own_cookie(name) for name in "abcd"], [b"scalekit-a", b"own", b"", b""])

    def test_whether_it_came_over_tls(self) -> None:
        services = self.services()
        network = ipaddress.ip_network("192.0.2.0/24")
        self.it.proxy.forwarder = Forwarder(b"x", (network,), lambda: 1 << 64 | 2)
        head = RequestHead(b"GET", b"/", [(b"X-Forwarded-Proto", b"https")])
        for address, is_secure, expected in (
            ("192.0.2.7", False, True),
            ("198.51.100.1", False, False),
            ("198.51.100.1", True, True),
        ):
            self.assertIs(services.is_secure(head, Client(address, 1, is_secure, 2)), expected)

    def test_another_table_when_something_changes(self) -> None:
        routing = Routing(())
        services = CachedServices(Proxied().proxy, routing, Balancer())
        before = services.routing.table
        routing.reconfigure(())
        self.assertIsNot(services.routing.table, before)


class CachedTests(Case):
    def cached(self) -> Proxied:
        def wrap(proxy: Any, clock: Any) -> Any:
            proxy.forwarder = Forwarder(b"test", (ipaddress.ip_network("192.0.2.0/24"),), lambda: 1 << 64 | 2)
            services = CachedServices(proxy, proxy._routing, Balancer())
            return Explaining(CacheFront(proxy, Store(1_000_000), services, clock, clock.seconds), proxy)

        return Proxied(1, wrap=wrap)

    def test_once_for_all(self) -> None:
        it = self.cached()
        it.says(get(b"/x"))
        it.accepts()
        it.answers(OK)
        self.assertIn(b"Cache-Status: scalekit; fwd=uri-miss; ttl=60; stored\r\n", it.hears())
        it.says(get(b"/x"))
        self.assertIn(b"Cache-Status: scalekit; hit; ttl=60\r\n", it.hears())
        self.assertEqual(len(it.asked), 1)
        self.ends(it, (200, ""), (200, ""))

    def test_what_a_proxy_hands_on_for_its_client_is_nobody_elses(self) -> None:
        """Most proxies overwrite some of these fields only, and the app server believes them all."""
        it = self.cached()
        for line in (b"X-Forwarded-Host: evil.example", b"X-Forwarded-Port: 99", b"Forwarded: for=10.9.9.9;host=evil"):
            it.says(get(b"/x", line))
            if it.app.attempts[-1].wire is None:
                it.accepts()
            it.answers(OK)
            self.assertIn(b"Cache-Status: scalekit; fwd=bypass\r\n", it.hears())
        it.says(get(b"/x"))
        it.answers(OK)
        self.assertIn(b"Cache-Status: scalekit; fwd=uri-miss; ttl=60; stored\r\n", it.hears())
        self.ends(it, *[(200, "")] * 4)

    def test_it_is_explained(self) -> None:
        it = self.cached()
        asked = get(b"/x", b"X-Scalekit-Explain: 1")
        it.says(asked)
        it.accepts()
        self.assertNotIn(b"Explain", it.app.hears())
        it.answers(OK)
        heard = it.hears()
        self.assertIn(b'X-Scalekit-Explain: route="*/", service="default", instance="192.0.2.10:80"', heard)
        self.assertIn(b'cache="miss", attempts=1\r\n', heard)
        it.says(asked)
        heard = it.hears()
        self.assertIn(b'service="default", cache="hit", attempts=0\r\n', heard)
        it.says(get(b"/x"))
        self.assertNotIn(b"Explain", it.hears())
        self.ends(it, (200, ""), (200, ""), (200, ""))
