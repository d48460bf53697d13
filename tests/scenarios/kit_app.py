"""
An app server by the kit: ``python -m tests.scenarios.kit_app PORT SCHEME STATE BALANCER``; registers itself.

``GET`` answers with its port and the path, ``GET /wait?seconds=S`` after S seconds, ``POST`` with the body.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor as global_reactor
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from scalekit.config.urls import ListenURL
from scalekit.kit.client import make_client
from scalekit.kit.serving import app_server
from scalekit.net.tls import ServerTLS

reactor = cast(Any, global_reactor)


class Application(Resource):
    """The pages."""

    isLeaf = True

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port

    def render_GET(self, request: Any) -> Any:
        body = b"%d %b\n" % (self.port, request.path)
        if request.path != b"/wait":
            return body

        def answer() -> None:
            request.write(body)
            request.finish()

        reactor.callLater(float(request.args[b"seconds"][0]), answer)
        return NOT_DONE_YET

    def render_POST(self, request: Any) -> bytes:
        return bytes(request.content.read())

    render_PUT = render_POST


def main(port: str, scheme: str, state: str, balancer: str) -> None:
    """Serve until SIGTERM, then drain."""
    tls_directory = Path(state) / "tls"
    tls = ServerTLS(tls_directory / "server.pem", tls_directory / "server.key")  # the balancer has made them
    server = app_server(
        Application(int(port)),
        [ListenURL(scheme, "127.0.0.1", int(port))],
        client=make_client(reactor, str(tls_directory / "ca.pem")),
        reactor=reactor,
        wall=time.time,
        random=random.random,
        tls=tls if scheme == "https" else None,
        balancer=balancer,
    )
    server.privilegedStartService()
    server.startService()
    reactor.addSystemEventTrigger("before", "shutdown", server.stopService)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
