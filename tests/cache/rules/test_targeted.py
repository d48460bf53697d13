from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.rules.targeted import controls
from tests.cache.rules.asking import NOW, kept, planned, values


class TargetedTests(SynchronousTestCase):
    """RFC 9213."""

    def test_replaces_cache_control_and_expires(self) -> None:
        """Section 2.2."""
        both = ("Cache-Control: no-store", "CDN-Cache-Control: max-age=600", "Expires: 0")
        self.assertEqual(controls(values(*both)), ({b"max-age": b"600"}, True))
        self.assertEqual(kept(*both).fresh_until, NOW + 600)

    def test_forbids_what_cache_control_allows(self) -> None:
        for said in ("no-store", "private", "max-age=0"):
            self.assertNotIsInstance(
                planned(
                    "Cache-Control: max-age=600", "Expires: Sun, 06 Nov 1994 09:49:37 GMT", f"CDN-Cache-Control: {said}"
                ),
                type(kept("Cache-Control: max-age=1")),
            )

    def test_what_cannot_be_read_is_not_there(self) -> None:
        """Section 2.1: a broken structured field, a value of another type, nothing at all."""
        for value in (
            "max-age=600, &&&&&",
            'max-age="600"',
            "max-age=1.5",
            "max-age",
            "MaX-aGe=600",
            "",
            "no-store=?0",
        ):
            self.assertEqual(
                controls(values("Cache-Control: max-age=5", "CDN-Cache-Control: " + value)),
                ({b"max-age": b"5"}, False),
                value,
            )

    def test_values(self) -> None:
        said, _ = controls(values("CDN-Cache-Control: max-age=5, must-revalidate, foo=7", "CDN-Cache-Control: bar=x"))
        self.assertEqual(said, {b"max-age": b"5", b"must-revalidate": b"", b"foo": b"7", b"bar": b"x"})

    def test_negative_is_stale(self) -> None:
        stored = kept("CDN-Cache-Control: max-age=-5", 'ETag: "a"')
        self.assertLessEqual(stored.fresh_until, NOW)


class SurrogateTests(SynchronousTestCase):
    """Surrogate-Control."""

    def test_replaces_cache_control_and_expires(self) -> None:
        for value, said in (
            ("max-age=600", {b"max-age": b"600"}),
            ('MaX-aGe=600, content="ESI/1.0"', {b"max-age": b"600"}),
            ("max-age=600+60", {b"max-age": b"600", b"stale-while-revalidate": b"60"}),
            ("no-store", {b"no-store": b""}),
            ("max-age=600, max-age=9;other", {b"max-age": b"600"}),
        ):
            head = values("Cache-Control: no-cache", "Surrogate-Control: " + value)
            self.assertEqual(controls(head), (said, True), value)

    def test_what_is_for_others(self) -> None:
        for value in ("max-age=600;other", 'content="ESI/1.0"', "foo", ""):
            head = values("Cache-Control: max-age=5", "Surrogate-Control: " + value)
            self.assertEqual(controls(head), ({b"max-age": b"5"}, False), value)

    def test_the_standard_goes_first(self) -> None:
        head = values("Surrogate-Control: max-age=5", "CDN-Cache-Control: max-age=6")
        self.assertEqual(controls(head), ({b"max-age": b"6"}, True))
