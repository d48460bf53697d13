"""
Twisted's own reverse proxy as its documentation shows it, with the access log of its Site.

``python -m bench.stock BACKEND_PORT CLEAR_PORT TLS_PORT CERTIFICATE KEY LOG``
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor as _reactor
from twisted.internet.ssl import PrivateCertificate
from twisted.web.proxy import ReverseProxyResource
from twisted.web.server import Site


def main(backend: str, clear: str, tls: str, certificate: str, key: str, log: str) -> None:
    """Serve until a signal comes."""
    reactor = cast(Any, _reactor)
    site = Site(ReverseProxyResource("127.0.0.1", int(backend), b""), logPath=log.encode())
    pem = Path(certificate).read_text() + Path(key).read_text()
    reactor.listenTCP(int(clear), site, interface="127.0.0.1")
    reactor.listenSSL(int(tls), site, PrivateCertificate.loadPEM(pem).options(), interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
