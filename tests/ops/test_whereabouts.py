"""Tests of `scalekit.ops.whereabouts`."""

from __future__ import annotations

from pathlib import Path

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from scalekit.ops.whereabouts import Whereabouts, url_from_here
from scalekit.places import local_url

ELSE = "https://127.0.0.1:2001"


class FakeListening:
    def __init__(self, *urls: str) -> None:
        self.urls = list(urls)

    def bound_urls(self) -> list[str]:
        return self.urls


class WhereaboutsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.state = Path(self.mktemp()).absolute()
        self.state.mkdir(parents=True)

    def start(self, *urls: str) -> str:
        """What an application finds after a daemon has been there."""
        service = Whereabouts(str(self.state), "registration", FakeListening(*urls))
        service.startService()
        service.stopService()
        return local_url(str(self.state), "registration", ELSE)

    def test_the_last_start_counts(self) -> None:
        self.assertEqual(local_url(str(self.state), "registration", ELSE), ELSE)
        for url in ("https://127.0.0.1:9001", "http://[::1]:9002", "https://localhost:9003"):
            self.assertEqual(self.start(url), url)
        self.assertEqual(local_url(str(self.state), "cache", ELSE), ELSE)
        self.assertEqual([file.name for file in (self.state / "listening").iterdir()], ["registration"])

    def test_a_listener_that_is_not_reached_from_here(self) -> None:
        self.start("https://127.0.0.1:9001")
        self.assertEqual(self.start("unix:///run/lb", "https://10.0.0.1:2001"), ELSE)

    def test_which_of_several(self) -> None:
        for urls, expected in (
            (["https://[::]:2000"], "https://127.0.0.1:2000"),
            (["http://0.0.0.0:2000"], "http://127.0.0.1:2000"),
            (["https://10.0.0.1:1", "https://127.0.0.1:2", "https://127.0.0.1:3"], "https://127.0.0.1:2"),
            ([], ""),
        ):
            self.assertEqual(url_from_here(urls), expected)

    def test_a_place_that_cannot_be_written_to(self) -> None:
        """The daemon goes on."""
        (self.state / "listening").touch()
        with capturedLogs() as logged:
            self.assertEqual(self.start("https://127.0.0.1:9001"), ELSE)
        self.assertEqual([event["url"] for event in logged], ["https://127.0.0.1:9001"])
