"""HTTP servers of the standard library in threads of a test, whoever it is that asks them."""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

#: How soon a server ends that is told to.
_POLL_SECONDS = 0.01


class Answers(BaseHTTPRequestHandler):
    """One connection; what it answers is for a subclass to say, with a Content-Length."""

    protocol_version = "HTTP/1.1"
    # Head and body are two writes: the body would wait for a delayed acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nobody looks."""


class Server(ThreadingHTTPServer):
    """A connection that stays open holds up no other, nor the end; one that its client leaves is no fault."""

    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


@contextmanager
def serving(answers: type[Answers], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """
    A server on a free port of 127.0.0.1, which this gives.

    :param context: for TLS.
    """
    server = Server(("127.0.0.1", 0), answers)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def serve(case: SynchronousTestCase, answers: type[Answers], context: ssl.SSLContext | None = None) -> int:
    """The same until the end of a test."""
    server = serving(answers, context)
    port = server.__enter__()
    case.addCleanup(server.__exit__, None, None, None)
    return port
