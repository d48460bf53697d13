from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.rules.invalidation import NOTHING, Invalidation, plan_invalidation
from tests.cache.rules.asking import get, reply


def invalid(*lines: str, method: str = "POST", status: int = 200) -> Invalidation:
    return plan_invalidation(get(method=method, target="/a/b?c"), reply(*lines, status=status))


class InvalidationTests(SynchronousTestCase):
    """RFC 9111 section 4.4."""

    def test_target(self) -> None:
        for method in ("POST", "PUT", "DELETE", "PATCH", "M-SEARCH"):
            for status in (200, 201, 204, 303, 399):
                self.assertEqual(invalid(method=method, status=status), ((b"https://h/a/b?c",), ()))

    def test_nothing(self) -> None:
        for method in ("GET", "HEAD", "OPTIONS", "TRACE"):
            self.assertIs(invalid("Location: /x", method=method), NOTHING)
        for status in (400, 404, 500, 503):
            self.assertIs(invalid("Location: /x", status=status), NOTHING)

    def test_what_it_names_at_the_same_origin(self) -> None:
        for reference, key in (
            ("/x?y", b"https://h/x?y"),
            ("x", b"https://h/a/x"),
            ("../x", b"https://h/x"),
            ("?q", b"https://h/a/b?q"),
            ("https://H:443/x#f", b"https://h/x"),
            ("//h/x", b"https://h/x"),
            ("http://h/x", None),
            ("https://other/x", None),
            ("//other/x", None),
            ("https://h:8443/x", None),
            ("https://[", None),
            ("mailto:a@b", None),
        ):
            for name in ("Location", "Content-Location"):
                expected = {b"https://h/a/b?c"} | ({key} if key else set())
                self.assertEqual(set(invalid(f"{name}: {reference}").keys), expected, reference)

    def test_groups(self) -> None:
        """RFC 9875 section 3: of this origin, and only by methods that are not safe."""
        line = 'Cache-Group-Invalidation: "a", "b"'
        self.assertEqual(invalid(line).tags, (b"https://h a", b"https://h b"))
        self.assertEqual(invalid(line, status=500), ((), (b"https://h a", b"https://h b")))
        self.assertIs(invalid(line, method="GET"), NOTHING)
        self.assertEqual(invalid("Cache-Group-Invalidation: a").tags, ())

    @given(st.binary(max_size=30))
    def test_any_reference(self, reference: bytes) -> None:
        head = reply(status=200)
        head.fields = [(b"Location", reference)]
        for key in plan_invalidation(get(method="POST"), head).keys:
            self.assertTrue(key.startswith(b"https://h/"), key)
