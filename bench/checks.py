"""Before anything is measured: each proxy answers rightly, and tells the backend what it should."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path

from bench.proxies import FIELDS, LARGE_BYTES, SMALL, Place, Proxy

ANSWER_SECONDS = 10.0


class WrongAnswer(Exception):
    """What was asked for and what came."""


def connection(scheme: str, port: int, ca: Path) -> http.client.HTTPConnection:
    """A client that verifies the server's certificate."""
    if scheme == "http":
        return http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    context = ssl.create_default_context(cafile=str(ca))
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=ANSWER_SECONDS, context=context)


def check(proxy: Proxy, scheme: str, place: Place) -> str:
    """
    Ask for everything that will be measured; returns what TLS agreed on, empty in clear.

    :raises WrongAnswer: it is not as it should be.
    """
    client = connection(scheme, proxy.tls if scheme == "https" else proxy.clear, place.ca)
    try:
        if _ask(client, "/small") != SMALL:
            raise WrongAnswer(f"{proxy.name} {scheme} /small: not the backend's 110 bytes")
        large = (place.folder / "backend" / "large").read_bytes()
        assert len(large) == LARGE_BYTES
        if _ask(client, "/large") != large:
            raise WrongAnswer(f"{proxy.name} {scheme} /large: not the backend's 1 MiB")
        values = dict(zip(FIELDS, _ask(client, "/fields").decode().split("|"), strict=True))
        lacking = [name for name in proxy.fields if not values[name]]
        if lacking:
            raise WrongAnswer(f"{proxy.name} {scheme}: the backend did not get {', '.join(lacking)}")
        if proxy.fields and values["x_forwarded_proto"] != scheme:
            raise WrongAnswer(f"{proxy.name}: X-Forwarded-Proto is {values['x_forwarded_proto']!r} for {scheme}")
        sock = client.sock
        cipher = sock.cipher() if isinstance(sock, ssl.SSLSocket) else None
        return f"{cipher[1]} {cipher[0]}" if cipher else ""
    finally:
        client.close()


def _ask(client: http.client.HTTPConnection, path: str) -> bytes:
    # Each on a connection that the last left open, as it will be in the runs.
    client.request("GET", path)
    answer = client.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise WrongAnswer(f"{path}: {answer.status} {body[:200]!r}")
    return body
