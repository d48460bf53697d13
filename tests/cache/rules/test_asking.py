from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.rules.asking import ask
from scalekit.http.heads import RequestHead
from tests.cache.rules.asking import get


class AskedTests(SynchronousTestCase):
    def test_what_is_looked_up(self) -> None:
        """RFC 9110 section 9.3.1: a body may be part of what a GET asks for."""
        self.assertTrue(get().is_lookup)
        self.assertTrue(get(method="HEAD").is_lookup)
        for other in (get(method="POST"), get(method="get"), get(length=1), get(length=None), get(host="")):
            self.assertFalse(other.is_lookup or other.is_plain)

    def test_a_tunnel_is_none(self) -> None:
        self.assertFalse(ask(RequestHead(b"GET", b"/", [], b"h", upgrade=b"websocket"), True).is_lookup)

    def test_what_may_be_answered_for_another_target_or_method_is_none(self) -> None:
        for name in ("X-Original-URL", "x-rewrite-url", "X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"):
            other = get(f"{name}: /admin")
            self.assertFalse(other.is_lookup or other.is_plain, name)

    def test_what_is_plain(self) -> None:
        for line in ("Cookie: a=b", "Pragma: x", "Accept: */*", "Authorization: x", "X: y"):
            self.assertTrue(get(line).is_plain, line)
        for line in (
            "Cache-Control: max-age=0",
            "Pragma: no-cache",
            'If-None-Match: "a"',
            "Range: bytes=0-",
            "If-Match: *",
        ):
            self.assertFalse(get(line).is_plain, line)

    def test_directives(self) -> None:
        """RFC 9111 section 5.2.1."""
        asked = get("Cache-Control: max-age=5, Min-Fresh=6", "cache-control: max-stale, stale-if-error=7, no-store")
        self.assertEqual((asked.max_age, asked.min_fresh, asked.stale_if_error), (5, 6, 7))
        self.assertEqual(asked.max_stale, float("inf"))
        self.assertTrue(asked.no_store)
        self.assertFalse(asked.no_cache or asked.only_if_cached or asked.has_authorization)

    def test_what_is_no_number(self) -> None:
        asked = get("Cache-Control: max-age=x, min-fresh=x, max-stale=x, stale-if-error=-1")
        self.assertEqual(asked.max_age, 0)
        self.assertEqual((asked.min_fresh, asked.max_stale, asked.stale_if_error), (None, None, None))

    def test_conditions(self) -> None:
        asked = get('If-None-Match: "a"', "range: bytes=0-1", "Authorization: x")
        self.assertEqual(asked.conditions, {b"if-none-match": b'"a"', b"range": b"bytes=0-1"})
        self.assertTrue(asked.has_authorization)

    def test_the_balancers_own_cookie_says_nothing_of_who_asks(self) -> None:
        for value, expected in ((b"us=1", False), (b"us=1; a=b", True), (b"a=us", True), (b"us", False)):
            head = RequestHead(b"GET", b"/", [(b"Cookie", value)], b"h")
            self.assertEqual(ask(head, True, own_cookie=b"us").has_cookie, expected, value)

    def test_repr(self) -> None:
        self.assertEqual(repr(get(target="/a?b")), "<Asked GET https://h/a?b>")
