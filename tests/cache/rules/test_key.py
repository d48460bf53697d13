from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.rules.key import key_of_url, origin_of, primary_key, scoped
from scalekit.http.heads import RequestHead


class KeyTests(SynchronousTestCase):
    """RFC 9111 section 2, RFC 9110 section 4.2.3."""

    def test_of_a_request(self) -> None:
        for host, target, is_secure, key in (
            (b"Shop.Example", b"/Cart?a=1", True, b"https://shop.example/Cart?a=1"),
            (b"shop.example:443", b"/", True, b"https://shop.example/"),
            (b"shop.example:80", b"/", False, b"http://shop.example/"),
            (b"shop.example:80", b"/", True, b"https://shop.example:80/"),
            (b"[::1]:80", b"/", False, b"http://[::1]/"),
            (b"h", b"/?", False, b"http://h/?"),
            (b"h", b"/%7Ea//b", False, b"http://h/%7Ea//b"),
        ):
            self.assertEqual(primary_key(RequestHead(b"GET", target, [], host), is_secure), key)

    def test_of_a_url(self) -> None:
        for url, key in (
            (b"HTTPS://Shop.Example:443/Cart?a#b", b"https://shop.example/Cart?a"),
            (b"http://h", b"http://h/"),
            (b"http://h?a", b"http://h/?a"),
            (b"http://h:8080/", b"http://h:8080/"),
            (b"ftp://h/", None),
            (b"/a", None),
            (b"http://user@h/", None),
            (b"", None),
        ):
            self.assertEqual(key_of_url(url), key, url)

    def test_origin(self) -> None:
        self.assertEqual(origin_of(b"https://h:8443/a//b"), b"https://h:8443")
        self.assertEqual(scoped((b"a", b"b"), b"http://h/x"), (b"http://h a", b"http://h b"))

    @given(st.sampled_from([b"h", b"H:80", b"h:443", b"a.b"]), st.sampled_from([b"/", b"/a?b", b"//c"]), st.booleans())
    def test_a_key_is_its_own_url(self, host: bytes, target: bytes, is_secure: bool) -> None:
        key = primary_key(RequestHead(b"GET", target, [], host), is_secure)
        self.assertEqual(key_of_url(key), key)
