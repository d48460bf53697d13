"""A collector of a few lines, in a thread: keeps batches, and behaves as badly as it is told to."""

from __future__ import annotations

import json
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeCollector:
    """
    :ivar batches: name and entries of each that was taken, in order.
    :ivar answers: what the next requests get instead: status, fields, body.
    :ivar gate: while it is not set, nobody is answered; ``delay_seconds``: what each answer takes besides.
    """

    def __init__(self, port: int = 0) -> None:
        self.batches: list[tuple[str, list[dict[str, Any]]]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.fields: list[dict[str, str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.delay_seconds = 0.0
        self._lock = threading.Lock()
        collector = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.gate.wait(30)
                time.sleep(collector.delay_seconds)
                status, fields, text = collector.take(self.path, dict(self.headers), body)
                self.send_response(status)
                for name, value in {**fields, "Content-Length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *arguments: Any) -> None:
                """Nobody wants to see it."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *arguments: Any) -> None:
                """A client that breaks off is no news."""

        self._server = Server(("127.0.0.1", port), Answering)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def take(self, path: str, fields: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        assert path == "/v1/entries", path
        self.fields.append(fields)
        if self.answers:
            return self.answers.pop(0)
        name = fields["X-Scalekit-Batch"]
        lines = zlib.decompress(body, 31).splitlines()
        entries = [json.loads(line) for line in lines]
        with self._lock:  # the same batch may come twice at once
            if name not in [each for each, _ in self.batches]:
                self.batches.append((name, entries))
        return 200, {}, b"{}"

    @property
    def entries(self) -> list[dict[str, Any]]:
        return [entry for _, entries in list(self.batches) for entry in entries]

    @property
    def messages(self) -> list[str]:
        return [entry["Message"] for entry in self.entries]

    def stop(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
