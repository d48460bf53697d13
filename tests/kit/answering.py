"""A server of the test's own that may be slow, silent, gone, or close what it has kept; asked by code that blocks."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# A read that must succeed has this long; one that must not has the usual 50 ms.
PATIENCE_SECONDS = 30.0


class Page(BaseHTTPRequestHandler):
    """Answers with what the server's next answer says, and notes what was asked."""

    protocol_version = "HTTP/1.1"
    server: Any

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, dict(self.headers), body, self.client_address[1]))
        status, fields, body = self.server.next
        if status == 0:  # hangs
            self.server.held.wait(PATIENCE_SECONDS)
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        if "Content-Length" not in fields:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if self.server.closes:
            self.close_connection = True  # without having said so

    do_GET = do_PUT = do_DELETE = do_POST = answer

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


class Answering:
    """
    The server, and a clock that may be put forward by ``skipped`` seconds.

    ``server.next`` is the status, fields and body of the next answers (status 0: it hangs), ``server.asked`` what it
    was asked, and with ``server.closes`` it closes its connections without having said so.
    """

    addCleanup: Any

    def setUp(self) -> None:
        server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.server = server
        self.server.daemon_threads = True
        self.server.asked, self.server.closes, self.server.held = [], False, threading.Event()
        self.server.next = 200, {}, b"value"
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.addCleanup(self.server.held.set)
        self.skipped = 0.0
        self.url = f"http://127.0.0.1:{server.server_address[1]}"

    def now(self) -> float:
        return time.monotonic() + self.skipped

    def ports(self) -> int:
        """How many connections were used."""
        return len({port for *_, port in self.server.asked})
