"""
The balancer is restarted under load: what goes on on established connections is answered.

Nobody listens between the end of the old process and the start of the new one: a client whose connect is refused then
has not been promised anything, and tries again here.
"""

from __future__ import annotations

import http.client
import itertools
import signal
import socket
import ssl
import threading
import time
from typing import Any

from tests.http.h2.frames import DATA, END_STREAM, GOAWAY, HEADERS, REQUEST, request
from tests.net.h2_wire import FrameClient
from tests.scenarios.daemons import Balancer, ScenarioCase
from tests.scenarios.running import PATIENCE_SECONDS, Daemon, until

#: Of the static table (RFC 7541 appendix A).
STATUS_200 = b"\x88"


class Client:
    """
    Asks without a pause on a connection that it keeps for as long as it may, and then on a new one.

    :ivar answers: ``(status, began)`` of each request that was answered.
    :ivar lost: what became of those that were not.
    :ivar connections: how many there were; ``refused``: how many connects were not taken.
    """

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer
        self._numbers = itertools.count()
        self.is_over = False
        self.answers: list[tuple[int, float]] = []
        self.lost: list[str] = []
        self.connections = self.refused = 0
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        connection: Any = None
        while not self.is_over:
            if connection is None:
                try:
                    connection = self.connect()
                except OSError:
                    self.refused += 1
                    time.sleep(0.005)
                    continue
                self.connections += 1
            began = time.monotonic()
            try:
                status, is_kept = self.ask(connection, f"/{next(self._numbers)}")
                self.answers.append((status, began))
            except (OSError, EOFError, http.client.HTTPException) as why:
                self.lost.append(f"{self!r}: {why!r}")
                is_kept = False
            if not is_kept:
                connection.close()
                connection = None
            time.sleep(0.002)  # both cores are for the servers
        if connection is not None:
            connection.close()

    def connect(self) -> Any:
        """Raises OSError where nobody takes it."""
        connection = http.client.HTTPConnection("127.0.0.1", self._balancer.clear, timeout=PATIENCE_SECONDS)
        connection.connect()
        return connection

    def ask(self, connection: Any, path: str) -> tuple[int, bool]:
        """The status of a whole answer, and whether the connection may be used again."""
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status != 200 or answer.read().endswith(f" {path}\n".encode())
        return answer.status, not answer.will_close


class SecureClient(Client):
    def connect(self) -> Any:
        context = ssl.create_default_context(cafile=self._balancer.ca)
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self._balancer.secure, timeout=PATIENCE_SECONDS, context=context
        )
        connection.connect()
        return connection


class _Frames(FrameClient):
    def close(self) -> None:
        self.sock.close()


class SharingClient(Client):
    """Speaks HTTP/2, and asks for nothing more once it has been told that the connection ends."""

    def connect(self) -> Any:
        client = _Frames(socket.create_connection(("127.0.0.1", self._balancer.clear), PATIENCE_SECONDS))
        client.sock.settimeout(PATIENCE_SECONDS)
        if not client.greet():
            client.close()
            raise ConnectionError("no greeting")
        self._streams = itertools.count(1, 2)
        return client

    def ask(self, connection: Any, path: str) -> tuple[int, bool]:
        stream = next(self._streams)
        connection.send(request(stream, start=[*REQUEST[:2], (b":path", path.encode()), REQUEST[3]]))
        status = 0
        is_kept = True
        while (frame := connection.next()) is not None:
            kind, flags, number, payload = frame
            if kind == GOAWAY:
                is_kept = False
                if int.from_bytes(payload[:4], "big") < stream:
                    raise EOFError("not taken")
            if number == stream:
                if kind == HEADERS:
                    status = 200 if payload.startswith(STATUS_200) else 0
                elif kind != DATA:
                    raise EOFError(frame)  # a reset
                if flags & END_STREAM:
                    return status, is_kept
        raise EOFError(connection.heard[-1])


class RestartTests(ScenarioCase):
    def test_nothing_is_lost_on_established_connections(self) -> None:
        balancer = self.start_balancer()
        ports = [self.start_stock_app()[0] for _ in range(2)]
        for port in ports:
            balancer.register(port)
        balancer.await_up(*ports)
        kinds = (Client, Client, Client, Client, SecureClient, SecureClient, SharingClient, SharingClient)
        clients = [kind(balancer) for kind in kinds]
        for client in clients:
            client.thread.start()
        try:
            until(lambda: all(len(client.answers) > 20 for client in clients), "all are answered")
            self.assertEqual([client.connections for client in clients], [1] * len(clients))
            balancer.send(signal.SIGTERM)
            self.assertEqual(balancer.wait(), 0)
            ended = time.monotonic()
            again = Daemon(balancer.directory, *balancer.arguments)
            self.addCleanup(again.clean_up)
            until(lambda: all(client.answers[-1][1] > ended for client in clients), "all are answered again")
        finally:
            for client in clients:
                client.is_over = True
            for client in clients:
                client.thread.join()
        self.assertEqual([lost for client in clients for lost in client.lost], [])
        # From the first request on: those that were well when it ended are asked before they have been probed.
        self.assertEqual({status for client in clients for status, _ in client.answers}, {200})
        for port in ports:
            self.assertIn(f"127.0.0.1:{port} joining -> suspect: from the snapshot", again.stdout)
        balancer.await_up(*ports)
        self.assertNotIn("Traceback", again.stdout)
