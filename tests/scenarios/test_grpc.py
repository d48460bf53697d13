"""gRPC through the balancer, as the grpcio package speaks it on both sides."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import grpc

from tests.ports import free_ports
from tests.scenarios.daemons import Balancer, ScenarioCase, is_listening
from tests.scenarios.running import PATIENCE_SECONDS, until


class Case(ScenarioCase):
    """A balancer and an app server that speaks gRPC in clear."""

    is_secure = True
    scheme = "h2c"

    def setUp(self) -> None:
        super().setUp()
        self.balancer = self.start_balancer()
        self.port, self.app = self.start_grpc_app()
        self.balancer.register(self.port, self.scheme)
        self.balancer.await_up(self.port)
        self.channel = self.open_channel(self.balancer)

    def start_grpc_app(self, port: int = 0) -> tuple[int, subprocess.Popen[bytes]]:
        port = port or free_ports(1)[0]
        tls = self.state / "tls"
        certificate = [str(tls / "server.pem"), str(tls / "server.key")] if self.scheme == "https" else []
        process = self.start("-m", "tests.scenarios.grpc_app", str(port), *certificate)
        until(lambda: is_listening(port), "the gRPC app server listens")
        return port, process

    def open_channel(self, balancer: Balancer) -> Any:
        if self.is_secure:
            # By name: BoringSSL does not know constraints of addresses, and refuses certificates that hold one.
            credentials = grpc.ssl_channel_credentials((self.state / "tls" / "ca.pem").read_bytes())
            channel = grpc.secure_channel(f"localhost:{balancer.secure}", credentials)
        else:
            channel = grpc.insecure_channel(f"127.0.0.1:{balancer.clear}")
        self.addCleanup(channel.close)
        return channel

    def call(self, kind: str, name: str) -> Any:
        """Such as ``call("unary_unary", "Unary")``."""
        method = getattr(self.channel, kind)(f"/test.Echo/{name}")
        return lambda request, **options: method(request, **({"timeout": PATIENCE_SECONDS} | options))

    def seen(self) -> dict[str, int]:
        found: dict[str, int] = json.loads(self.call("unary_unary", "Seen")(b""))
        return found


class Calls(Case):
    def test_unary_with_metadata_both_ways(self) -> None:
        method = self.channel.unary_unary("/test.Echo/Unary")
        answer, call = method.with_call(b"hello", timeout=PATIENCE_SECONDS, metadata=(("x-ask", "why"),))
        self.assertEqual(answer, b"hello")
        first = dict(call.initial_metadata())
        self.assertEqual((first["x-answer"], first["x-raw-bin"]), ("why", bytes(range(256))))
        self.assertEqual(dict(call.trailing_metadata())["x-trailing"], "why")

    def test_a_thousand_unary_calls_on_one_connection(self) -> None:
        method = self.channel.unary_unary("/test.Echo/Unary")
        futures = [method.future(b"%d" % number, timeout=PATIENCE_SECONDS) for number in range(1000)]
        self.assertEqual([future.result() for future in futures], [b"%d" % number for number in range(1000)])

    def test_a_megabyte_each_way(self) -> None:
        body = bytes(range(256)) * 8192
        self.assertEqual(self.call("unary_unary", "Unary")(body), body)

    def test_an_error_is_a_status_in_the_trailers(self) -> None:
        with self.assertRaises(grpc.RpcError) as raised:
            self.call("unary_unary", "Fail")(b"")
        fault: Any = raised.exception
        self.assertEqual(fault.code(), grpc.StatusCode.FAILED_PRECONDITION)
        self.assertEqual(fault.details(), "not today: 50 % — nö")
        self.assertEqual(dict(fault.trailing_metadata())["x-trailing"], "at failure")

    def test_a_method_that_is_not_there(self) -> None:
        with self.assertRaises(grpc.RpcError) as raised:
            self.call("unary_unary", "Missing")(b"")
        fault: Any = raised.exception
        self.assertEqual(fault.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_streams(self) -> None:
        self.assertEqual(list(self.call("unary_stream", "Count")(b"500")), [b"%d" % number for number in range(500)])
        self.assertEqual(self.call("stream_unary", "Add")(iter([b"abc"] * 500)), b"1500")

    def test_both_directions_take_turns(self) -> None:
        heard: list[bytes] = []

        def requests() -> Iterator[bytes]:
            # Each waits for the answer to the one before: nothing may be kept back on the way.
            for number in range(20):
                until(lambda number=number: len(heard) == number, "the answer")  # type: ignore[misc]
                yield b"ping %d" % number

        for answer in self.call("stream_stream", "Echo")(requests()):
            heard.append(answer)
        self.assertEqual(heard, [(b"ping %d" % number)[::-1] for number in range(20)])

    def test_a_deadline_that_passes_is_a_cancel_there(self) -> None:
        heard: list[bytes] = []

        def passes_while_it_is_there() -> bool:
            with self.assertRaises(grpc.RpcError) as raised:
                for piece in self.call("unary_stream", "Hang")(b"", timeout=0.5):
                    heard.append(piece)
            fault: Any = raised.exception
            self.assertEqual(fault.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
            return bool(heard)  # a busy machine may need longer to bring it there

        until(passes_while_it_is_there, "a call that came there in time")
        until(lambda: self.seen().get("cancelled"), "the app server hears that it was cancelled")

    def test_a_cancel_is_one_there(self) -> None:
        calls = [self.call("unary_stream", "Hang")(b"") for _ in range(5)]
        for call in calls:
            self.assertEqual(next(call), b"here")
        for call in calls:
            call.cancel()
        until(lambda: self.seen().get("cancelled") == 5, "the app server hears that they were cancelled")
        until(lambda: self.balancer.instances()[self.port]["in_flight"] == 0, "nothing is in flight")

    def test_who_does_not_read_holds_the_app_server(self) -> None:
        pieces = 1000
        call = self.call("unary_stream", "Flood")(b"%d" % pieces)
        next(call)
        before = -1
        while before != (now := self.seen()["flooded"]):
            before = now
            for _ in range(20):
                self.call("unary_unary", "Unary")(b"others go on")
        self.assertLess(now, pieces // 2)
        self.assertEqual(sum(map(len, call)), (pieces - 1) * 65536)


class ClearCalls(Case):
    is_secure = False

    def test_streams_with_prior_knowledge(self) -> None:
        self.assertEqual(list(self.call("unary_stream", "Count")(b"50")), [b"%d" % number for number in range(50)])
        self.assertEqual(self.call("stream_unary", "Add")(iter([b"abc"] * 50)), b"150")
        self.assertEqual(list(self.call("stream_stream", "Echo")(iter([b"ab", b"cd"]))), [b"ba", b"dc"])


class SecureOnBothSides(Case):
    scheme = "https"

    def test_alpn_chooses(self) -> None:
        self.assertEqual(self.call("unary_unary", "Unary")(b"hello"), b"hello")
        self.assertEqual(list(self.call("stream_stream", "Echo")(iter([b"ab", b"cd"]))), [b"ba", b"dc"])


class Restarts(Case):
    def test_an_app_server_that_is_replaced(self) -> None:
        unary = self.call("unary_unary", "Unary")
        self.assertEqual(unary(b"1"), b"1")
        self.app.send_signal(signal.SIGKILL)
        self.app.wait()
        with self.assertRaises(grpc.RpcError) as raised:
            unary(b"2")
        fault: Any = raised.exception
        self.assertEqual(fault.code(), grpc.StatusCode.UNAVAILABLE)
        self.start_grpc_app(self.port)
        self.balancer.await_up(self.port)
        self.assertEqual(unary(b"3"), b"3")

    def test_two_share_the_calls(self) -> None:
        second, _ = self.start_grpc_app()
        self.balancer.register(second, "h2c")
        self.balancer.await_up(second)
        for _ in range(20):
            self.call("unary_unary", "Unary")(b"")
        counts = [self.seen().get("unary", 0) for _ in range(2)]
        self.assertEqual(counts, [10, 10])
