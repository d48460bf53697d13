"""What is found out about a request's head, once."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.front.sought import normalised
from scalekit.http.heads import RequestHead
from tests.cache.front.fronted import Case, get

OFFERED = (b"zstd", b"br", b"gzip")


class NormalisedTests(SynchronousTestCase):
    def accepted(self, *values: bytes, offered: tuple[bytes, ...] = OFFERED) -> bytes | None:
        fields = [(b"Accept-Encoding", value) for value in values]
        return normalised(RequestHead(b"GET", b"/", [*fields, (b"X", b"1")]), offered).get(b"accept-encoding")

    def test_to_the_coding_that_will_be_made(self) -> None:
        self.assertEqual(self.accepted(b"gzip, deflate, br"), b"br")
        self.assertEqual(self.accepted(b"gzip", b"br;q=0.5"), b"gzip")
        self.assertIsNone(self.accepted(b"deflate"))
        self.assertIsNone(self.accepted())
        head = RequestHead(b"GET", b"/", [(b"Accept-Encoding", b"br")])
        self.assertIs(normalised(head, OFFERED), head)
        head = RequestHead(b"GET", b"/", [(b"Accept-Encoding", b"br"), (b"Cache-Control", b"no-transform")])
        self.assertIsNone(normalised(head, OFFERED).get(b"accept-encoding"))

    def test_where_none_is_made(self) -> None:
        self.assertEqual(self.accepted(b"gzip;q=0.5, deflate, br", offered=()), b"br, gzip")
        self.assertIsNone(self.accepted(b"identity", offered=()))


class RememberedTests(Case):
    def test_until_the_services_are_others(self) -> None:
        self.it.fill(b"/x")
        client = self.it.client()
        first = [client.gets(b"/x").said, client.gets(b"/x").said]
        self.it.services.is_cached = lambda service: False  # type: ignore[method-assign]
        self.assertEqual([*first, client.gets(b"/x").said], [b"hit; ttl=60"] * 3)
        self.it.services.table = object()
        client.says(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        self.it.origin.answers(b"other")
        self.assertEqual(client.heard().body, b"other")

    def test_another_services_answers_are_not_for_who_is_routed_elsewhere(self) -> None:
        self.it.fill(b"/x")
        self.it.services.service_of = lambda head: "another"  # type: ignore[method-assign]
        self.it.services.table = object()
        client = self.it.client()
        client.says(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        self.it.origin.answers(b"other")
        self.assertEqual((client.heard().body, len(self.it.asked)), (b"other", 2))
        self.assertEqual(self.it.get(b"/x").body, b"other")


class SwitchedTests(Case):
    """A service is cached, then not, and then again."""

    def switch(self, is_on: bool) -> None:
        self.it.services.is_cached = lambda service: is_on  # type: ignore[method-assign]
        self.it.services.table = object()

    def test_what_changed_meanwhile_is_not_answered(self) -> None:
        self.it.fill(b"/x", b"old")
        self.switch(False)
        client = self.it.client()
        client.says(get(b"/x", b"Content-Length: 0", method=b"POST"))
        self.it.origin.answers(b"")
        self.assertEqual(client.heard().said, b"")
        self.switch(True)
        self.assertEqual(self.it.fill(b"/x", b"new").body, b"new")
        self.assertEqual(self.it.get(b"/x").said, b"hit; ttl=60")
        self.assertEqual(self.it.store.stats().entries, 1)

    def test_what_is_fetched_meanwhile_is_not_either(self) -> None:
        for has_begun in (False, True):
            path = b"/%d" % has_begun
            first, second = self.it.client(), self.it.client()
            first.says(get(path))
            asked = self.it.origin
            if has_begun:
                asked.begins(b"max-age=60", 3)
            self.switch(False)
            self.it.client().says(get(path, b"Content-Length: 0", method=b"POST"))
            self.switch(True)
            second.says(get(path))
            if has_begun:
                asked.exchange.write(b"old")
                asked.exchange.finish()
            else:
                asked.answers(b"old")
            self.it.origin.answers(b"new")
            self.assertEqual([first.heard().body, second.heard().body], [b"old", b"new"])
            self.assertEqual(self.it.get(path).body, b"new")

    def test_while_nobody_asks_it_makes_no_difference(self) -> None:
        self.it.fill(b"/x", b"old")
        self.switch(False)
        self.switch(True)
        self.assertEqual(self.it.get(b"/x").said, b"hit; ttl=60")
