from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.rules.status import forwarded, hit
from scalekit.cache.rules.storing import Refusal
from scalekit.cache.rules.structured import dictionary
from tests.cache.rules.asking import NOW, kept


class StatusTests(SynchronousTestCase):
    """RFC 9211 section 2."""

    def test_hit(self) -> None:
        stored = kept("Cache-Control: max-age=30", "Age: 5")
        self.assertEqual(hit(b"s", stored, NOW), b"s; hit; ttl=25")
        self.assertEqual(hit(b"s", stored, NOW + 27.5), b"s; hit; ttl=-2")
        validated = kept("Cache-Control: max-age=30, no-cache", 'ETag: "a"')
        self.assertEqual(hit(b"s", validated, NOW), b"s; hit; ttl=30")

    def test_forwarded(self) -> None:
        self.assertEqual(forwarded(b"s", b"uri-miss"), b"s; fwd=uri-miss")
        self.assertEqual(
            forwarded(b"s", b"stale", status=304, ttl=9.9, is_stored=True, is_collapsed=True),
            b"s; fwd=stale; fwd-status=304; ttl=9; stored; collapsed",
        )

    def test_details_are_strings(self) -> None:
        for refusal in Refusal:
            said = forwarded(b"s", b"miss", detail=refusal.value)
            self.assertIsNotNone(dictionary(said.replace(b"; ", b", ")), said)
