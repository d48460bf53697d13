"""Tests of `scalekit.kit.posting`."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ConfigurationFault
from scalekit.kit.posting import IDLE_SECONDS, Answer, Poster
from scalekit.kit.spool import Batch
from tests.kit.collecting import FakeCollector


class PosterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.collector = FakeCollector()
        self.addCleanup(self.collector.stop)
        self.now = 0.0
        self.poster = Poster(self.collector.url, "", lambda: {"Authorization": "Bearer x"}, lambda: self.now)
        self.addCleanup(self.poster.close)

    def post(self, number: int) -> Answer:
        return self.poster.post(Batch("me", number, b'{"Message":"m"}\n'))

    def test_a_batch_with_its_name_coded_on_a_kept_connection(self) -> None:
        self.assertEqual(self.post(1), Answer(200))
        kept = self.poster._connection
        self.assertEqual(self.post(2), Answer(200))
        self.assertIs(self.poster._connection, kept)
        self.assertEqual(self.collector.batches, [("me/1", [{"Message": "m"}]), ("me/2", [{"Message": "m"}])])
        self.assertEqual(self.collector.fields[0]["Authorization"], "Bearer x")

    def test_one_that_was_idle_for_long_is_not_used(self) -> None:
        self.post(1)
        kept = self.poster._connection
        self.now += IDLE_SECONDS + 1
        self.post(2)
        self.assertIsNot(self.poster._connection, kept)

    def test_one_that_was_closed_meanwhile_is_no_failure(self) -> None:
        self.post(1)
        port = self.collector.port
        connection = self.poster._connection
        assert connection is not None
        socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
        self.assertEqual(self.post(2), Answer(200))
        self.poster.close()
        self.collector.stop()
        self.assertRaises(OSError, self.post, 3)
        self.collector = FakeCollector(port)
        self.addCleanup(self.collector.stop)
        self.assertEqual(self.post(3), Answer(200))

    def test_what_a_refusal_says(self) -> None:
        for status, fields, body, expected in (
            (409, {}, b'{"reason":"batch-gap"}', Answer(409, "batch-gap", '409 {"reason":"batch-gap"}')),
            (503, {"Retry-After": "3"}, b"busy", Answer(503, "", "503 busy", 3.0)),
            (503, {"Retry-After": "86400"}, b"[]", Answer(503, "", "503 []", 60.0)),
            (503, {"Retry-After": "soon"}, b"", Answer(503, "", "503 ", 0.0)),
        ):
            self.collector.answers.append((status, fields, body))
            self.assertEqual(self.post(1), expected)

    def test_an_answer_without_end_is_not_read(self) -> None:
        self.collector.answers.append((200, {}, b"x" * 1_000_000))
        self.assertEqual(self.post(1), Answer(200))
        self.assertIsNone(self.poster._connection)

    def test_no_token_no_request(self) -> None:
        def headers() -> dict[str, str]:
            raise ConfigurationFault("token file: none")

        self.assertRaises(ConfigurationFault, Poster(self.collector.url, "", headers, float).post, Batch("a", 1, b""))

    def test_a_url_that_is_none(self) -> None:
        for url in ("logs:6000", "https://", "ftp://logs", "http://logs:x"):
            self.assertRaises(ValueError, Poster, url, "", dict, float)
