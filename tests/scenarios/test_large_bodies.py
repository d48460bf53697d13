"""
Bodies much larger than memory should hold, through the balancer: nothing is gathered, lost, cut or sent in clear.

``SCALEKIT_TESTS_BODY_MIB=1024`` makes them as large as the promise is; without it they are what a suite has time for,
still twice what the balancer may grow.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import select
import signal
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

from tests.scenarios.daemons import Balancer, ScenarioCase
from tests.scenarios.running import PATIENCE_SECONDS, until
from tests.scenarios.stock_app import MARK, blocks, digest_of

MIB = 1024 * 1024
SIZE = int(os.environ.get("SCALEKIT_TESTS_BODY_MIB", "64")) * MIB
#: The promise of the balancer's growth.
MOST_GROWTH = 32 * MIB
#: How long somebody does nothing in the middle: the other side would send all of the body meanwhile.
PAUSE_SECONDS = 1.0
#: What the slow reader's kernel keeps for it; as little as a phone's.
SMALL_BUFFER = 16 * 1024
#: As SO_LINGER: closing resets the connection.
RESET = struct.pack("ii", 1, 0)


def dial(balancer: Balancer, is_secure: bool, port: int = 0, is_slow: bool = False) -> socket.socket:
    """A client's connection; over TLS one that tells a cut from an end."""
    sock = socket.socket()
    sock.settimeout(PATIENCE_SECONDS)
    if is_slow:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    sock.connect(("127.0.0.1", port or (balancer.secure if is_secure else balancer.clear)))
    if not is_secure:
        return sock
    context = ssl.create_default_context(cafile=balancer.ca)
    return context.wrap_socket(sock, server_hostname="127.0.0.1", suppress_ragged_eofs=False)


def get(sock: socket.socket, path: str, fields: str = "", pause: float = 0.0) -> Iterator[bytes]:
    """Ask for one answer and the end of the connection, and read both; a pause after the first MiB."""
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n".encode())
    answer = http.client.HTTPResponse(sock, method="GET")
    answer.begin()
    assert answer.status == 200, answer.read()
    size = 0
    while piece := answer.read(64 * 1024):
        yield piece
        size += len(piece)
        if pause and size > MIB:
            time.sleep(pause)
            pause = 0.0
    answer.close()
    assert sock.recv(1) == b""  # raises ssl.SSLEOFError where close_notify is missing
    sock.close()


def put(sock: socket.socket, path: str, size: int, is_chunked: bool) -> dict[str, Any]:
    """Send a body; what the app server tells of it."""
    framing = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {size}"
    sock.sendall(f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{framing}\r\n\r\n".encode())
    for block in blocks(size):
        sock.sendall(b"%x\r\n%b\r\n" % (len(block), block) if is_chunked else block)
    if is_chunked:
        sock.sendall(b"0\r\n\r\n")
    answer = http.client.HTTPResponse(sock, method="PUT")
    answer.begin()
    told: dict[str, Any] = json.loads(answer.read())
    assert sock.recv(1) == b""
    sock.close()
    return told


def hash_of(pieces: Iterator[bytes]) -> str:
    """The SHA-256 of all of it."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


class LargeCase(ScenarioCase):
    """A balancer with one app server, in clear or over TLS."""

    def serve(self, is_secure: bool) -> Balancer:
        balancer = self.start_balancer()
        port, _ = self.start_stock_app(is_secure=is_secure)
        balancer.register(port, "https" if is_secure else "http")
        balancer.await_up(port)
        # What is allocated once and for all, such as the compressor's threads, is no growth.
        for _ in get(dial(balancer, is_secure), f"/bytes?size={MIB}", "Accept-Encoding: gzip\r\n"):
            pass
        self.before = balancer.memory()
        balancer.forget_peak()
        return balancer

    def assert_small(self, balancer: Balancer, what: str) -> None:
        growth = balancer.memory("VmHWM") - self.before
        if "SCALEKIT_TESTS_BODY_MIB" in os.environ:
            print(f"{what}: {SIZE // MIB} MiB in {time.monotonic() - self.began:.1f} s, grew by {growth / MIB:.1f} MiB")
        self.assertLess(growth, MOST_GROWTH, what)

    def through(self, is_secure: bool) -> None:
        balancer = self.serve(is_secure)
        expected = digest_of(SIZE)
        for framing in ("length", "chunked", "close"):
            self.began = time.monotonic()
            pieces = get(dial(balancer, is_secure), f"/bytes?size={SIZE}&framing={framing}")
            self.assertEqual(hash_of(pieces), expected)
            self.assert_small(balancer, f"down, {framing}")
        for is_chunked in (False, True):
            self.began = time.monotonic()
            told = put(dial(balancer, is_secure), "/", SIZE, is_chunked)
            framing = "chunked" if is_chunked else "length"
            self.assertEqual(told, {"size": SIZE, "sha256": expected, "framing": framing})
            self.assert_small(balancer, f"up, {framing}")
        self.began = time.monotonic()
        slow = dial(balancer, is_secure, is_slow=True)
        self.assertEqual(hash_of(get(slow, f"/bytes?size={SIZE}", pause=PAUSE_SECONDS)), expected)
        self.assert_small(balancer, "down, slow reader")
        self.began = time.monotonic()
        told = put(dial(balancer, is_secure), f"/?pause={PAUSE_SECONDS}", SIZE, False)
        self.assertEqual(told["sha256"], expected)
        self.assert_small(balancer, "up, slow app server")
        self.assertNotIn("Traceback", balancer.stdout)

    def coded(self, is_secure: bool) -> None:
        """gzip is streamed too, and stops for a slow reader."""
        balancer = self.serve(is_secure)
        size = max(SIZE // 4, MOST_GROWTH)  # some 40 MB are coded in a second
        slow = dial(balancer, is_secure, is_slow=True)
        unzip = zlib.decompressobj(wbits=31)
        self.began = time.monotonic()
        pieces = get(slow, f"/bytes?size={size}&framing=chunked", "Accept-Encoding: gzip\r\n", PAUSE_SECONDS)
        self.assertEqual(hash_of(map(unzip.decompress, pieces)), digest_of(size))
        self.assertTrue(unzip.eof)
        self.assert_small(balancer, "down, coded, slow reader")


class ClearTests(LargeCase):
    """In clear on both sides."""

    def test_through(self) -> None:
        self.through(is_secure=False)

    def test_coded(self) -> None:
        self.coded(is_secure=False)


class SecureTests(LargeCase):
    """Over TLS on both sides."""

    def test_through(self) -> None:
        self.through(is_secure=True)

    def test_coded(self) -> None:
        self.coded(is_secure=True)


class Relay:
    """
    Stands between two who speak TLS and looks at every byte, both ways: all of it has to be records of TLS.

    :ivar faults: what was no record, or had the mark of a body in it.
    :ivar carried: bytes, both ways together.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self.faults: list[bytes] = []
        self.carried = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed: the test is over
            server = socket.create_connection(("127.0.0.1", self._to))
            threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        targets = {client: server, server: client}
        waiting = {client: b"", server: b""}
        tails = dict(waiting)
        with client, server:
            try:
                while targets:
                    for source in select.select(list(targets), [], [])[0]:
                        data = source.recv(64 * 1024)
                        self.carried += len(data)
                        if MARK in tails[source] + data:
                            self.faults.append(MARK)
                        tails[source] = data[-len(MARK) :]
                        waiting[source] = self._check(waiting[source] + data)
                        if data:
                            targets[source].sendall(data)
                        else:
                            targets.pop(source).shutdown(socket.SHUT_WR)
            except OSError:
                # Reset by one side: then also towards the other.
                for sock in (client, server):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def _check(self, data: bytes) -> bytes:
        """Leave out the whole records (RFC 8446 section 5.1)."""
        start = 0
        while len(data) - start >= 5:
            kind, major, length = data[start], data[start + 1], int.from_bytes(data[start + 3 : start + 5], "big")
            if kind not in (20, 21, 22, 23) or major != 3 or length > 16 * 1024 + 256:
                self.faults.append(data[start : start + 64])
                return b""
            if len(data) - start < 5 + length:
                break
            start += 5 + length
        return data[start:]

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()


class CapturedTests(ScenarioCase):
    """What is on the wire on both sides of the balancer, where all goes well and where it does not."""

    def setUp(self) -> None:
        super().setUp()
        self.balancer = self.start_balancer(timeouts='read = "1s"\nfirst_byte = "1s"\nanswer_progress = "1s"')
        port, self.app = self.start_stock_app(is_secure=True)
        self.behind, self.before = Relay(port), Relay(self.balancer.secure)
        self.addCleanup(self.behind.close)
        self.addCleanup(self.before.close)
        self.balancer.register(self.behind.port, "https")
        self.balancer.await_up(self.behind.port)

    def dial(self, is_slow: bool = False) -> socket.socket:
        sock = dial(self.balancer, True, self.before.port, is_slow)
        self.addCleanup(sock.close)
        return sock

    def assert_covered(self, least: int) -> None:
        for relay in (self.behind, self.before):
            self.assertEqual(relay.faults, [])
            self.assertGreater(relay.carried, least)
        self.assertNotIn("Traceback", self.balancer.stdout)

    def test_down_and_up(self) -> None:
        size = 16 * MIB
        expected = digest_of(size)
        for framing in ("length", "chunked", "close"):
            pieces = get(self.dial(is_slow=True), f"/bytes?size={size}&framing={framing}", pause=0.3)
            self.assertEqual(hash_of(pieces), expected)
        for is_chunked in (False, True):
            self.assertEqual(put(self.dial(), "/?pause=0.3", size, is_chunked)["sha256"], expected)
        self.assert_covered(5 * size)

    def test_clients_that_go_away(self) -> None:
        path = f"/bytes?size={256 * MIB}"
        for way in ("close", "reset", "stall"):
            sock = self.dial(is_slow=True)
            pieces = get(sock, path)
            for _ in range(32):
                next(pieces)
            if way == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            if way != "stall":
                sock.close()
            else:
                # Whoever takes nothing is cut; what had been sent before can be read, then the cut is seen.
                until(self.is_free, "the one that stalls is cut")
                self.assertRaises((ssl.SSLError, ConnectionError, http.client.IncompleteRead), hash_of, pieces)
                sock.close()
            until(self.is_free, "nothing is in flight")
        self.assert_covered(3 * MIB)

    def is_free(self) -> bool:
        return all(one["in_flight"] == 0 for one in self.balancer.instances().values())

    def test_an_app_server_that_dies(self) -> None:
        """A chunked answer, one up to the close, one with a length: each is seen to be cut."""
        for framing in ("length", "chunked", "close"):
            pieces = get(self.dial(), f"/bytes?size={256 * MIB}&framing={framing}")
            for _ in range(32):
                next(pieces)
            if framing == "close":
                self.app.kill()
            else:
                self.app.send_signal(signal.SIGSTOP)
            self.assertRaises((ssl.SSLError, ConnectionError, http.client.IncompleteRead), hash_of, pieces)
            self.app.send_signal(signal.SIGCONT)
        self.assert_covered(3 * MIB)
