"""One request to the balancer from a thread, by the standard library only."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from scalekit.kit.registration import Ask

# What the balancer says is a line or two.
_MOST_BYTES = 64 * 1024
#: A server that accepts does so at once; one whose queue is full does not answer.
CONNECT_SECONDS = 2.0


def fetch(ask: Ask, headers: Mapping[str, str], seconds: float, ca: str = "") -> tuple[int, bytes]:
    """
    Ask, on a connection of its own.

    :param seconds: how long each wait for the other side may take.
    :param ca: a PEM file, read each time, as the balancer may make it after we start; empty: what the system trusts.
    :return: the status, and the beginning of what is said with it.
    :raises OSError: there is no answer, or no file; `http.client.HTTPException`: what comes is none.
    """
    parts = urlsplit(ask.url)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=ca or None)
        connection = http.client.HTTPSConnection(host, parts.port, timeout=seconds, context=context)
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=seconds)
    try:
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(ask.method, target, ask.body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read(_MOST_BYTES)
    finally:
        connection.close()


def is_answering(host: str, port: int) -> bool:
    """Connect, and say whether somebody accepted."""
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
