"""
What any library has to do that is to stand behind `scalekit.http.h2.session`: two sessions that talk.
`test_session_frames` goes on.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.h2.limits import CONNECTION_WINDOW, STREAM_WINDOW
from scalekit.http.h2.owner import ErrorCode
from scalekit.http.h2.session import Unindexed
from tests.http.h2.frames import (
    REQUEST,
)
from tests.http.h2.recorder import Pair

GET = list(REQUEST)
POST = [(b":method", b"POST"), *GET[1:]]
OK = [(b":status", b"200")]


class Conversations(SynchronousTestCase):
    """Two sessions."""

    def setUp(self) -> None:
        self.pair = Pair()
        self.client, self.server = self.pair.client, self.pair.server

    def told(self) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """What client and server were told."""
        self.pair.talk()
        return self.pair.at_client.take(), self.pair.at_server.take()

    def test_a_request_and_its_answer(self) -> None:
        stream = self.client.request([*GET, (b"x-some", b"value")], True)
        self.assertEqual(self.told(), ([], [("requested", stream, [*GET, (b"x-some", b"value")], True)]))
        self.server.answer(stream, [*OK, Unindexed(b"x-id", b"1")], b"hello")
        at_client, at_server = self.told()
        self.assertEqual(
            at_client,
            [
                ("answered", stream, [*OK, (b"x-id", b"1")], False),
                ("data", stream, b"hello", True),
                ("closed", stream, 0),
            ],
        )
        self.assertEqual(at_server, [("closed", stream, 0)])

    def test_bodies_interim_answers_and_trailers_both_ways(self) -> None:
        stream = self.client.request(POST, False)
        self.client.send_data(stream, b"one")
        self.client.end(stream, [(b"x-sum", b"1")])
        self.assertEqual(
            self.told()[1],
            [
                ("requested", stream, POST, False),
                ("data", stream, b"one", False),
                ("trailers", stream, [(b"x-sum", b"1")]),
            ],
        )
        self.server.inform(stream, [(b":status", b"103"), (b"link", b"</a>")])
        self.server.respond(stream, OK, False)
        self.server.send_data(stream, b"two")
        self.server.end(stream, [(b"grpc-status", b"0")])
        self.assertEqual(
            self.told()[0],
            [
                ("informed", stream, [(b":status", b"103"), (b"link", b"</a>")]),
                ("answered", stream, OK, False),
                ("data", stream, b"two", False),
                ("trailers", stream, [(b"grpc-status", b"0")]),
                ("closed", stream, 0),
            ],
        )

    def test_windows_open_by_acknowledgements_only(self) -> None:
        stream = self.client.request(POST, False)
        self.client.send_data(stream, b"x" * (STREAM_WINDOW + 1000))
        _, at_server = self.told()
        self.assertEqual(sum(len(event[2]) for event in at_server if event[0] == "data"), STREAM_WINDOW)
        self.assertEqual(self.client.queued(stream), 1000)
        self.assertEqual(self.client.queued_total, 1000)
        self.server.acknowledge(stream, STREAM_WINDOW)
        _, at_server = self.told()
        self.assertEqual([(*event[:1], len(event[2])) for event in at_server], [("data", 1000)])

    def test_the_connection_has_a_window_too(self) -> None:
        """Also for bytes of streams that are over: they are acknowledged as well."""
        count = CONNECTION_WINDOW // STREAM_WINDOW
        streams = [self.client.request(POST, False) for _ in range(count)]
        for stream in streams:
            self.client.send_data(stream, b"x" * STREAM_WINDOW)
        self.told()
        last = self.client.request(POST, False)
        self.client.send_data(last, b"y")
        self.assertEqual(self.told()[1], [("requested", last, POST, False)])
        for stream in streams[: count // 2]:
            self.client.reset(stream, ErrorCode.CANCEL)
        self.told()
        for stream in streams[: count // 2]:
            self.server.acknowledge(stream, STREAM_WINDOW)
        self.assertEqual(self.told()[1], [("data", last, b"y", False)])

    def test_resets_both_ways(self) -> None:
        for code in (ErrorCode.CANCEL, ErrorCode.NO_ERROR):
            stream = self.client.request(POST, False)
            self.told()
            self.client.reset(stream, code)
            at_client, at_server = self.told()
            self.assertEqual(at_client, [("closed", stream, code)])
            self.assertEqual(at_server, [("reset", stream, code), ("closed", stream, code)])
            stream = self.client.request(POST, False)
            self.told()
            self.server.reset(stream, code)
            at_client, at_server = self.told()
            self.assertEqual(at_client, [("reset", stream, code), ("closed", stream, code)])
            self.assertEqual(at_server, [("closed", stream, code)])

    def test_a_reset_takes_back_what_is_queued(self) -> None:
        stream = self.client.request(POST, False)
        self.told()
        self.server.respond(stream, OK, False)
        self.server.send_data(stream, b"x", True)
        self.server.reset(stream, ErrorCode.NO_ERROR)
        self.assertEqual(self.told()[0][-2:], [("reset", stream, 0), ("closed", stream, 0)])

    def test_what_is_said_on_a_stream_that_is_over_is_ignored(self) -> None:
        stream = self.client.request(GET, True)
        self.told()
        self.server.reset(stream, ErrorCode.CANCEL)
        self.told()
        self.server.respond(stream, OK, False)
        self.server.inform(stream, OK)
        self.server.send_data(stream, b"x")
        self.server.end(stream)
        self.server.end(stream, [(b"a", b"b")])
        self.server.reset(stream, ErrorCode.CANCEL)
        self.assertEqual(self.told(), ([], []))
        self.assertFalse(self.server.is_over)

    def test_an_end_that_is_announced_and_then_meant(self) -> None:
        first = self.client.request(POST, False)
        self.told()
        self.server.announce_end()
        second = self.client.request(GET, True)  # it was on its way
        self.assertIn(("requested", second, GET, True), self.told()[1])
        self.assertFalse(self.client.can_request)
        self.assertEqual(self.client.request(GET, True), 0)
        self.server.refuse_more()
        self.server.respond(second, OK, True)
        self.client.send_data(first, b"x", True)
        at_client, at_server = self.told()
        self.assertIn(("answered", second, OK, True), at_client)
        self.assertIn(("data", first, b"x", True), at_server)
        self.server.respond(first, OK, True)
        self.assertIn(("answered", first, OK, True), self.told()[0])

    def test_goaway_tells_how_far(self) -> None:
        stream = self.client.request(GET, True)
        self.told()
        self.server.refuse_more()
        self.assertEqual(self.told()[0][0], ("going away", stream, 0))

    def test_termination(self) -> None:
        self.server.terminate(ErrorCode.ENHANCE_YOUR_CALM)
        self.assertIn(("going away", 0, ErrorCode.ENHANCE_YOUR_CALM), self.told()[0])
        self.assertTrue(self.server.is_over)

    def test_more_streams_than_there_may_be_wait(self) -> None:
        self.pair = Pair(streams=2)
        self.client, self.server = self.pair.client, self.pair.server
        streams = [self.client.request(GET, True) for _ in range(3)]
        self.assertEqual([event[1] for event in self.told()[1]], streams[:2])
        self.assertEqual(self.client.server_streams, 2)
        self.server.respond(streams[0], OK, True)
        self.assertIn(("requested", streams[2], GET, True), self.told()[1])

    def test_extended_connect_is_offered(self) -> None:
        self.assertTrue(self.client.has_connect_protocol)
        connect = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]]
        stream = self.client.request(connect, False)
        self.client.send_data(stream, b"frame")
        self.assertEqual(self.told()[1], [("requested", stream, connect, False), ("data", stream, b"frame", False)])

    def test_bytes_are_written_before_what_follows_from_them_is_told(self) -> None:
        stream = self.client.request(GET, True)
        self.pair.talk()
        self.server.answer(stream, OK, b"hello")
        self.pair.at_server.take()
        told: list[Any] = []
        said = self.server.output(65536, lambda data: told.append(list(self.pair.at_server.events)))
        self.assertEqual((told, self.pair.at_server.take()), ([[]], [("closed", stream, 0)]))
        self.assertEqual(self.server.output(65536, told.append), b"")
        self.assertEqual(told, [[]])
        self.client.receive(said)
        self.assertIn(("data", stream, b"hello", True), self.pair.at_client.take())

    def test_what_is_hastened_is_told_by_the_output_that_follows(self) -> None:
        stream = self.client.request(GET, True)
        sent: list[bytes] = []
        self.client.hasten(65536, sent.append)
        self.client.hasten(65536, sent.append)
        self.assertEqual((len(sent), self.client.output(65536)), (1, b""))
        self.server.receive(sent[0])
        self.assertEqual(self.pair.at_server.take(), [("requested", stream, GET, True)])

    def test_a_session_is_quiet_when_it_has_nothing_to_say(self) -> None:
        self.assertTrue(self.server.is_quiet)
        stream = self.client.request(GET, True)
        self.assertFalse(self.client.is_quiet)
        self.server.receive(self.client.output(65536))
        self.assertTrue(self.server.is_quiet and self.client.is_quiet)
        self.server.answer(stream, OK, b"hello")
        self.assertFalse(self.server.is_quiet)
        self.pair.talk()
        self.assertTrue(self.server.is_quiet)
        self.client.ping()
        self.server.receive(self.client.output(65536))
        self.assertFalse(self.server.is_quiet)
        self.pair.talk()
        self.client.terminate(ErrorCode.NO_ERROR)
        self.server.receive(self.client.output(65536))
        self.assertEqual((self.server.is_quiet, self.server.is_over), (False, True))

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.binary(min_size=1, max_size=40_000), max_size=8), st.integers(1, 5000))
    def test_cuts_make_no_difference(self, pieces: list[bytes], step: int) -> None:
        """Bytes that arrive in any pieces make the same body."""
        pair = Pair()
        stream = pair.client.request(POST, False)
        for piece in pieces:
            pair.client.send_data(stream, piece)
        pair.client.end(stream)
        body = b""
        while up := pair.client.output(65536):
            for start in range(0, len(up), step):
                pair.server.receive(up[start : start + step])
            for event in pair.at_server.take():
                if event[0] == "data":
                    body += event[2]
                    pair.server.acknowledge(stream, len(event[2]))
            while down := pair.server.output(65536):
                pair.client.receive(down)
        self.assertEqual(body, b"".join(pieces))
