"""
Clients that send next to nothing, for as long as they are let, and others that are served meanwhile.

Both kinds are cut at a deadline that one more byte does not move.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
import ssl
import time
from collections.abc import Callable

from tests.scenarios.daemons import Balancer, ScenarioCase
from tests.scenarios.running import PATIENCE_SECONDS

#: As many as a laptop of an attacker has without an effort; each costs it a few bytes a second.
SLOW_CLIENTS = 100
HEAD_SECONDS = 1.0
#: Between two pieces of a slow one: several come before the deadline.
PACE_SECONDS = 0.25
#: The deadlines' wheel is late by half a second at most; the rest is for machines that do much else.
LATE_SECONDS = 20.0
#: What others may wait for an answer, on such a machine too.
MOST_SECONDS = 10.0


class SlowCase(ScenarioCase):
    """A balancer with short deadlines and one app server."""

    def setUp(self) -> None:
        super().setUp()
        self.balancer: Balancer = self.start_balancer(
            timeouts=f'request_head = "{HEAD_SECONDS:g}s"\nbody_rate = 500\nbody_rate_after = "1s"'
        )
        self.port, _ = self.start_stock_app()
        self.balancer.register(self.port)
        self.balancer.await_up(self.port)

    def connect(self, is_secure: bool) -> socket.socket:
        port = self.balancer.secure if is_secure else self.balancer.clear
        sock = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        if is_secure:
            context = ssl.create_default_context(cafile=self.balancer.ca)
            sock = context.wrap_socket(sock, server_hostname="127.0.0.1", suppress_ragged_eofs=False)
        self.addCleanup(sock.close)
        return sock

    def cut(self, first: bytes, next_piece: Callable[[int], bytes], is_secure: bool) -> tuple[dict[int, float], float]:
        """
        Let many send ``first`` and then a piece now and then, and serve others meanwhile.

        :return: after how many seconds each of them got its 408 and the end; the longest that others had to wait.
        """
        slow = [self.connect(is_secure) for _ in range(SLOW_CLIENTS)]
        other = http.client.HTTPConnection("127.0.0.1", self.balancer.clear, timeout=PATIENCE_SECONDS)
        self.addCleanup(other.close)
        began = time.monotonic()
        for sock in slow:
            sock.sendall(first)
        ended: dict[int, float] = {}
        longest = 0.0
        count = 0
        while len(ended) < len(slow) and time.monotonic() - began < PATIENCE_SECONDS:
            if time.monotonic() - began > (count + 1) * PACE_SECONDS:
                count += 1
                for number, sock in enumerate(slow):
                    if number not in ended:
                        sock.sendall(next_piece(count))
            asked = time.monotonic()
            other.request("GET", "/other")
            self.assertEqual(other.getresponse().read(), f"{self.port} /other\n".encode())
            longest = max(longest, time.monotonic() - asked)
            for number, sock in enumerate(slow):
                if number not in ended and select.select([sock], [], [], 0)[0] and self.is_refused(sock, is_secure):
                    ended[number] = time.monotonic() - began
            time.sleep(0.01)
        return ended, longest

    def is_refused(self, sock: socket.socket, is_secure: bool) -> bool:
        """Read the answer to its end: a whole 408, then an orderly end; False if there was nothing to read yet."""
        if isinstance(sock, ssl.SSLSocket):
            sock.settimeout(0.01)  # what is readable may be a session ticket
            try:
                data = sock.recv(1)
            except TimeoutError:
                return False
            finally:
                sock.settimeout(PATIENCE_SECONDS)
        else:
            data = sock.recv(1)
        while piece := sock.recv(4096):
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 408 "), data)
        self.assertIn(b"\r\nconnection: close", head.lower())
        self.assertIn(json.loads(body)["reason"], ("head-timeout", "body-timeout"))
        sock.close()
        return True

    def assert_cut(self, ended: dict[int, float], earliest: float, longest: float) -> None:
        self.assertEqual(len(ended), SLOW_CLIENTS)
        self.assertGreater(min(ended.values()), earliest)
        self.assertLess(max(ended.values()), earliest + LATE_SECONDS)
        self.assertLess(longest, MOST_SECONDS)
        self.assertNotIn("Traceback", self.balancer.stdout)


class HeadTests(SlowCase):
    """A byte of a head now and then."""

    def test_in_clear(self) -> None:
        ended, longest = self.cut(b"G", lambda count: b"ET / HTTP/1.1"[count - 1 : count], False)
        self.assert_cut(ended, HEAD_SECONDS, longest)
        # Nothing of it has come to the app server, or into its queue.
        targets = {line["target"] for line in self.balancer.access_log()}
        self.assertLessEqual(targets, {"/other"})

    def test_over_tls(self) -> None:
        ended, longest = self.cut(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", lambda _: b"y", True)
        self.assert_cut(ended, HEAD_SECONDS, longest)

    def test_the_second_request_of_a_connection(self) -> None:
        whole = b"GET /first HTTP/1.1\r\nHost: localhost\r\n\r\n"
        sock = self.connect(False)
        sock.sendall(whole)
        first = http.client.HTTPResponse(sock)
        first.begin()
        self.assertEqual(first.read(), f"{self.port} /first\n".encode())
        time.sleep(HEAD_SECONDS + 1)  # idle, which is no fault
        began = time.monotonic()
        sock.sendall(whole[:-1])
        self.assertTrue(self.is_refused(sock, False))
        self.assertGreater(time.monotonic() - began, HEAD_SECONDS)
        self.assertLess(time.monotonic() - began, HEAD_SECONDS + LATE_SECONDS)


class BodyTests(SlowCase):
    """A body below the least rate, with a length and in chunks."""

    def test_with_a_length(self) -> None:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
        ended, longest = self.cut(head, lambda _: b"x", False)
        self.assert_cut(ended, 1.0, longest)

    def test_in_chunks_over_tls(self) -> None:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        ended, longest = self.cut(head, lambda _: b"1\r\nx\r\n", True)
        self.assert_cut(ended, 1.0, longest)

    def test_a_slow_one_above_the_rate_is_served(self) -> None:
        sock = self.connect(False)
        sock.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000\r\n\r\n")
        for _ in range(10):
            time.sleep(0.2)
            sock.sendall(b"x" * 2000)  # 10,000 bytes a second for 2 s; a busy machine makes it less
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        self.assertEqual(json.loads(answer.read())["size"], 20_000)
