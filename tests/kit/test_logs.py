"""Tests of `scalekit.kit.logs`."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from scalekit.errors import ConfigurationFault
from scalekit.interfaces import ILogSink
from scalekit.kit.logs import LogClient
from tests.kit.fakes import FakeClient


class LogClientTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.client = FakeClient(self.clock)
        self.sink = LogClient(
            "https://logs:6000/", "blog:3001", self.client, self.clock, lambda: 1.0, lambda: 1_700_000_000.25
        )

    def sent(self, number: int = -1) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.client.bodies[number] or b"").splitlines()]

    def messages(self, number: int = -1) -> list[str]:
        return [entry["Message"] for entry in self.sent(number)]

    def test_it_is_a_log_sink(self) -> None:
        verifyObject(ILogSink, self.sink)

    def test_an_entry_goes_out_within_a_fifth_of_a_second(self) -> None:
        self.sink.log("INFO", "hello; é\n")
        self.sink.log("ERROR", "then", 1_600_000_000.0)
        self.assertEqual(self.client.requests, [])
        self.clock.advance(0.2)
        self.assertEqual(self.client.requests, ["POST https://logs:6000/v1/entries"])
        self.assertEqual(
            self.sent(),
            [
                {
                    "Level": "INFO",
                    "Timestamp": "2023-11-14T22:13:20.250000Z",
                    "Source": "blog:3001",
                    "Message": "hello; é\n",
                },
                {
                    "Level": "ERROR",
                    "Timestamp": "2020-09-13T12:26:40.000000Z",
                    "Source": "blog:3001",
                    "Message": "then",
                },
            ],
        )
        self.client.answer()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_five_hundred_do_not_wait(self) -> None:
        for number in range(501):
            self.sink.log("INFO", str(number))
        self.assertEqual(self.client.requests, [])
        self.clock.advance(0)
        self.assertEqual(self.messages(), [str(number) for number in range(500)])

    def test_many_bytes_do_not_wait_and_a_batch_is_bounded_by_them(self) -> None:
        for _ in range(30):
            self.sink.log("INFO", "x" * 10_000)
        self.clock.advance(0)
        self.assertEqual(len(self.sent()), 25)

    def test_one_batch_at_a_time(self) -> None:
        self.sink.log("INFO", "first")
        self.clock.advance(0.2)
        self.sink.log("INFO", "second")
        self.clock.advance(1.0)
        self.assertEqual(len(self.client.requests), 1)
        self.client.answer()
        self.clock.advance(0.2)
        self.assertEqual(self.messages(), ["second"])

    def test_a_batch_is_tried_until_it_is_acknowledged(self) -> None:
        self.sink.log("INFO", "kept")
        self.clock.advance(0.2)
        for wait in (0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0):
            self.client.cut()
            self.clock.advance(wait)
            self.assertEqual(self.messages(), ["kept"])
        self.assertEqual(len(self.client.requests), 9)

    def test_retry_after_is_honoured_within_reason(self) -> None:
        for asked, wait in (("3", 3.0), ("86400", 60.0)):
            self.sink.log("INFO", "kept")
            self.clock.advance(0.2)
            self.client.answer(503, headers={"Retry-After": asked})
            self.clock.advance(wait - 0.1)
            self.assertEqual(len(self.client.waiting), 0)
            self.clock.advance(0.1)
            self.client.answer()

    def test_a_refused_batch_is_dropped_and_told_once(self) -> None:
        for _ in range(2):
            self.sink.log("INFO", "refused")
            self.clock.advance(0.2)
            self.client.answer(400, b"no")
        self.assertEqual(self.sink.rejected, 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_token_is_shown_as_it_is_then_and_entries_wait_for_one_that_is_taken(self) -> None:
        tokens: list[dict[str, str] | ConfigurationFault] = [
            ConfigurationFault("token file: none"),
            {"Authorization": "Bearer old"},
            {"Authorization": "Bearer new"},
        ]

        def headers() -> dict[str, str]:
            token = tokens.pop(0)
            if isinstance(token, ConfigurationFault):
                raise token
            return token

        sink = LogClient("https://logs", "blog", self.client, self.clock, lambda: 1.0, lambda: 0.0, headers)
        sink.log("INFO", "kept")
        self.clock.advance(0.2)
        self.assertEqual(self.client.requests, [])
        self.clock.advance(0.2)
        self.client.answer(401, b"bad-token")
        self.clock.advance(0.4)
        self.assertEqual([each["Authorization"] for each in self.client.headers], ["Bearer old", "Bearer new"])
        self.assertEqual(self.messages(), ["kept"])
        self.client.answer()
        self.assertEqual((sink.rejected, self.clock.getDelayedCalls()), (0, []))

    def test_408_and_429_are_tried_again(self) -> None:
        self.sink.log("INFO", "kept")
        self.clock.advance(0.2)
        for status in (408, 429):
            self.client.answer(status)
            self.clock.advance(1.0)
            self.assertEqual(self.messages(), ["kept"])
        self.assertEqual(self.sink.rejected, 0)

    def test_the_queue_is_bounded_and_the_loss_is_told_after_recovery(self) -> None:
        self.sink.log("INFO", "first")
        self.clock.advance(0.2)
        self.sink.log("ERROR", "kept")
        for _ in range(150):
            self.sink.log("INFO", "x" * 10_000)
        self.client.answer()
        texts: list[str] = []
        while self.clock.getDelayedCalls():
            self.clock.advance(0.2)
            texts += self.messages()
            self.client.answer()
        self.assertEqual(texts[0], "kept")
        told = [text for text in texts if text.endswith("the log service was away and the queue was full")]
        self.assertEqual(len(told), 1)
        lost = int(told[0].split()[0])
        self.assertEqual(lost + len(texts) - 2, 150)

    def test_log_never_raises(self) -> None:
        self.sink.log("INFO", "\ud800 lone surrogate")
        self.sink.log("INFO", None)  # type: ignore[arg-type]
        self.sink.log("INFO", "bad time", 1e300)
        self.sink.log("INFO", "\x00" * 1_000_000)
        self.clock.advance(0.2)
        self.assertEqual(len(self.sent()), 2)
        self.assertLess(len(self.client.bodies[-1] or b""), 256 * 1024)

    def test_stop_sends_what_is_left(self) -> None:
        self.sink.log("INFO", "last words")
        stopped = self.sink.stop()
        self.clock.advance(0)
        self.assertEqual(self.messages(), ["last words"])
        self.assertNoResult(stopped)
        self.client.answer()
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_with_nothing_left(self) -> None:
        stopped = self.sink.stop()
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_tries_again_at_once_and_gives_up_after_two_seconds(self) -> None:
        self.sink.log("INFO", "last words")
        self.clock.advance(0.2)
        for _ in range(6):
            self.client.cut()
            self.clock.advance(5.0 if len(self.client.requests) > 4 else 2.0)
        asked = len(self.client.requests)
        stopped = self.sink.stop()
        self.clock.advance(0)
        self.assertGreaterEqual(len(self.client.requests), asked)
        self.clock.advance(2.0)
        self.successResultOf(stopped)
        self.sink.log("INFO", "too late")
        self.assertEqual(self.clock.getDelayedCalls(), [])
