"""
An app server that speaks gRPC: ``python -m tests.scenarios.grpc_app PORT [CERTIFICATE KEY]``.

No protoc: requests and answers are bytes.  It has no health checking: that it says so is well enough.  What it has seen
is told by ``/test.Echo/Seen``.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

SEEN: Counter[str] = Counter()


def unary(request: bytes, context: Any) -> bytes:
    SEEN["unary"] += 1
    given = dict(context.invocation_metadata())
    if "x-ask" in given:
        context.send_initial_metadata((("x-answer", given["x-ask"]), ("x-raw-bin", bytes(range(256)))))
        context.set_trailing_metadata((("x-trailing", given["x-ask"]),))
    return request


def fail(request: bytes, context: Any) -> bytes:
    context.set_trailing_metadata((("x-trailing", "at failure"),))
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: 50 % — nö")
    raise AssertionError


def count(request: bytes, context: Any) -> Iterator[bytes]:
    for number in range(int(request)):
        yield b"%d" % number


def add(requests: Iterator[bytes], context: Any) -> bytes:
    return b"%d" % sum(map(len, requests))


def echo(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
    for request in requests:
        yield request[::-1]


def hang(request: bytes, context: Any) -> Iterator[bytes]:
    """Says that it is there and nothing more; notes that it was cancelled."""
    SEEN["hanging"] += 1
    over = threading.Event()
    context.add_callback(over.set)
    yield b"here"
    over.wait(60)
    SEEN["cancelled"] += 1


def flood(request: bytes, context: Any) -> Iterator[bytes]:
    """Pieces of 64 KiB, as many as are taken; the number produced is told by `seen`."""
    SEEN["flooded"] = 0
    for _ in range(int(request)):
        SEEN["flooded"] += 1
        yield bytes(65536)


def seen(request: bytes, context: Any) -> bytes:
    return json.dumps(SEEN).encode()


def main(port: int, *certificate: str) -> None:
    server = grpc.server(ThreadPoolExecutor(32))
    handlers: dict[str, Any] = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Add": grpc.stream_unary_rpc_method_handler(add),
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
        "Hang": grpc.unary_stream_rpc_method_handler(hang),
        "Flood": grpc.unary_stream_rpc_method_handler(flood),
        "Seen": grpc.unary_unary_rpc_method_handler(seen),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    if certificate:
        chain, key = (Path(name).read_bytes() for name in certificate)
        server.add_secure_port(f"127.0.0.1:{port}", grpc.ssl_server_credentials([(key, chain)]))
    else:
        server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
