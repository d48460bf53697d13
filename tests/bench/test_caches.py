"""What is asked before anything is measured: the right answer, and out of the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench.caches import Asked, check, start_values
from bench.checks import WrongAnswer
from bench.proxies import SMALL, Place
from tests.kit.answering import Answering


class CheckTests(Answering, SynchronousTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = Place(Path(self.mktemp()).absolute(), 0, 0, 0, Path(), Path(), Path())

    def check(self, is_hit: Any = lambda fields: fields["x-cache"] == "HIT") -> str:
        server: Any = None
        return check(Asked("nginx", server, f"{self.url}/kept", is_hit), self.place)

    def test_right(self) -> None:
        self.server.next = 200, {"X-Cache": "HIT"}, SMALL
        self.assertEqual(self.check(), "")
        self.assertEqual([request[1] for request in self.server.asked], ["/kept", "/kept"])

    def test_wrong(self) -> None:
        for answer in ((404, {}, b""), (200, {"X-Cache": "HIT"}, b"other"), (200, {"X-Cache": "MISS"}, SMALL)):
            self.server.next = answer
            self.assertRaises(WrongAnswer, self.check)

    def test_the_key_value_service_has_the_value(self) -> None:
        self.place.folder.mkdir()
        with start_values(self.place) as values:
            asked = Asked("scalekit", values.server, f"http://127.0.0.1:{values.port}/v1/keys/piece", bool)
            self.assertEqual(check(asked, self.place), "")
