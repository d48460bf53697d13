"""What the client of handshakes has done becomes a round, and the client does what it says."""

import ssl
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path
from socket import create_connection, create_server

from twisted.trial.unittest import SynchronousTestCase

from bench.dialer import Dialled, dial
from bench.handshakes import as_round
from bench.load import Load
from scalekit.net.certificates import ensure_local_ca, ensure_server_certificate


class RoundTests(SynchronousTestCase):
    def test_each_handshake_costs_its_share(self) -> None:
        round_ = as_round(Dialled(500, 2.0, 900.0, 4000.0, 3, 1, "TLSv1.3 A"), 0.1, 0.05)
        self.assertEqual(round_.load, Load(500, 250.0, 900.0, 4000.0, 3, 1))
        self.assertEqual((round_.user_us, round_.system_us), (200.0, 100.0))

    def test_without_any(self) -> None:
        self.assertEqual(as_round(Dialled(0, 1.0, 0.0, 0.0, 0, 9, ""), 0.5, 0.0).load.socket_errors, 9)


class DialTests(SynchronousTestCase):
    """Against a server that gives tickets, and takes them."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        now = datetime.now(UTC)
        ensure_local_ca(Path(folder.name), now)
        certificate, key = ensure_server_certificate(Path(folder.name), ["127.0.0.1"], now)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.server = create_server(("127.0.0.1", 0), backlog=64)
        thread = threading.Thread(target=self.serve)
        thread.start()
        self.addCleanup(thread.join, 10)
        self.addCleanup(self.end)

    def end(self) -> None:
        # One more connection, for accept to return.
        with create_connection(self.server.getsockname()):
            self.server.close()

    def serve(self) -> None:
        while True:
            try:
                plain, _ = self.server.accept()
                plain.settimeout(5)
                with self.context.wrap_socket(plain, server_side=True) as sock:
                    if sock.recv(4096):
                        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            except OSError:
                if self.server.fileno() < 0:
                    return

    def test_full_and_resumed(self) -> None:
        for is_resumed in (False, True):
            done = dial(self.server.getsockname()[1], 0.5, 2, is_resumed)
            self.assertGreater(done.handshakes, 0)
            self.assertEqual((done.otherwise, done.faults), (0, 0))
            self.assertIn("TLSv1.3", done.agreed)
