"""Tests of `scalekit.kit.asking`: real sockets."""

from __future__ import annotations

from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLCertVerificationError, SSLContext

import trustme
from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.asking import fetch, is_answering
from scalekit.kit.registration import Ask
from tests.http_servers import Answers, serve


class Echo(Answers):
    """Answers with what it was asked, up to the end of the connection."""

    protocol_version = "HTTP/1.0"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(201)
        self.end_headers()
        self.wfile.write(f"{self.command} {self.path} {self.headers['Authorization']} ".encode() + body)

    do_POST = do_PUT


class FetchTests(SynchronousTestCase):
    def serve(self, context: SSLContext | None = None) -> str:
        return f"127.0.0.1:{serve(self, Echo, context)}"

    def test_in_clear(self) -> None:
        place = self.serve()
        status, body = fetch(Ask("PUT", f"http://{place}/v1/x?a=1", b"{}"), {"Authorization": "Bearer x"}, 20.0)
        self.assertEqual((status, body), (201, b"PUT /v1/x?a=1 Bearer x {}"))
        status, body = fetch(Ask("POST", f"http://{place}/y"), {}, 20.0)
        self.assertEqual((status, body), (201, b"POST /y None "))

    def test_over_tls_by_this_ca_only(self) -> None:
        ca = trustme.CA()
        context = SSLContext(PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1").configure_cert(context)
        ask = Ask("POST", f"https://{self.serve(context)}/y")
        file = Path(self.mktemp())
        self.assertRaises(FileNotFoundError, fetch, ask, {}, 20.0, str(file))
        ca.cert_pem.write_to_path(str(file))
        self.assertEqual(fetch(ask, {}, 20.0, str(file))[0], 201)
        self.assertRaises(SSLCertVerificationError, fetch, ask, {}, 20.0)

    def test_nobody(self) -> None:
        place = self.serve()
        self.assertTrue(is_answering("127.0.0.1", int(place.rpartition(":")[2])))
        self.doCleanups()
        self.assertFalse(is_answering("127.0.0.1", int(place.rpartition(":")[2])))
        self.assertRaises(ConnectionError, fetch, Ask("POST", f"http://{place}/"), {}, 20.0)
